import { ref } from 'vue'
import { type Intercept, listIntercepts, recordKey } from '@/api/intercepts'
import { useEvents } from '@/composables/useEvents'
import { useLoad } from '@/composables/useLoad'
import { now } from '@/composables/useNow'
import { useSoon } from '@/composables/useSoon'

const most = 200

/** The newest intercepts, and what comes while one looks. */
export function useNewest() {
  const recent = ref<Intercept[]>([])
  const fresh = ref(new Set<string>())
  const { value, error, reload } = useLoad(async (signal) => {
    const page = await listIntercepts({ limit: most }, signal)
    recent.value = page.items
    return page
  })
  const live = useEvents('intercept', (data) => {
    const one = data as Intercept
    const known = recent.value.findIndex((other) => recordKey(other) === recordKey(one))
    if (known >= 0) recent.value = recent.value.map((other, i) => (i === known ? one : other))
    else recent.value = [one, ...recent.value].slice(0, most)
    fresh.value = new Set([String(one.id)])
    now.value = Date.now()
  })
  useEvents('lagged', useSoon(() => void reload(), 1000))
  return { recent, fresh, value, error, reload, live }
}
