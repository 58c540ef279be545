import { ref, watch } from 'vue'
import { type Intercept, listIntercepts, recordKey } from '@/api/intercepts'
import { useEvents } from '@/composables/useEvents'
import { useLoad } from '@/composables/useLoad'
import { now } from '@/composables/useNow'
import { usePolling } from '@/composables/usePolling'
import { useSoon } from '@/composables/useSoon'

const most = 200

/** The newest intercepts, and what comes while one looks. hasMore: there are older ones. */
export function useNewest() {
  const recent = ref<Intercept[]>([])
  const hasMore = ref(false)
  const fresh = ref(new Set<string>())
  const { value, error, reload } = useLoad(async (signal) => {
    const page = await listIntercepts({ limit: most }, signal)
    recent.value = page.items
    hasMore.value = page.next !== undefined
    return page
  })
  const live = useEvents('intercept', (data) => {
    const one = data as Intercept
    const known = recent.value.findIndex((other) => recordKey(other) === recordKey(one))
    if (known >= 0) recent.value = recent.value.map((other, i) => (i === known ? one : other))
    else {
      hasMore.value ||= recent.value.length === most
      recent.value = [one, ...recent.value].slice(0, most)
    }
    fresh.value = new Set([String(one.id)])
    now.value = Date.now()
  })
  // What happened while the stream was not there has told nobody.
  watch(live, (on) => { if (on && value.value) void reload() })
  usePolling(() => { if (!live.value) void reload() }, 5000)
  useEvents('lagged', useSoon(() => void reload(), 1000))
  return { recent, hasMore, fresh, value, error, reload, live }
}
