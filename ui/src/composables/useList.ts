import { type Ref, onScopeDispose, ref, shallowRef, watch } from 'vue'
import { type ApiError, toApiError } from '@/api/errors'
import { useConnection } from './useConnection'

/** One page of a list, as all lists of the API have it. */
export interface Page<T> {
  items: T[] | null
  next?: string
  total?: number
}

/** A list as useList gives it. */
export interface List<T> {
  rows: Readonly<Ref<T[]>>
  /** How many there are in all, where the server counts them. */
  total: Readonly<Ref<number | undefined>>
  next: Readonly<Ref<string | undefined>>
  loading: Readonly<Ref<boolean>>
  loaded: Readonly<Ref<boolean>>
  error: Readonly<Ref<ApiError | null>>
  trail: Readonly<Ref<(string | undefined)[]>>
  limit: number
  reload(): Promise<void>
  reset(): Promise<void>
  forward(): Promise<void>
  back(): Promise<void>
}

export interface ListQuery {
  limit: number
  after: string | undefined
}

/**
 * A list that is read page by page with cursors. filter is watched: a change
 * begins again at the first page. What is shown stays until its successor is
 * there; an answer that comes late is dropped.
 */
export function useList<T, F>(filter: Ref<F>, load: (filter: F, page: ListQuery, signal: AbortSignal) => Promise<Page<T>>, limit = 50): List<T> {
  const rows: Ref<T[]> = shallowRef([])
  const total = ref<number>()
  const next = ref<string>()
  const loading = ref(true)
  const error = shallowRef<ApiError | null>(null)
  const loaded = ref(false)
  /** The cursors of the pages up to this one; the first page has none. */
  const trail = ref<(string | undefined)[]>([undefined])
  let running: AbortController | undefined

  async function read(): Promise<void> {
    running?.abort()
    const mine = (running = new AbortController())
    loading.value = true
    try {
      const page = await load(filter.value, { limit, after: trail.value.at(-1) }, mine.signal)
      if (mine !== running) return
      rows.value = page.items ?? []
      next.value = page.next
      total.value = page.total
      error.value = null
      loaded.value = true
    } catch (thrown) {
      if (mine !== running || mine.signal.aborted) return
      error.value = toApiError(thrown)
    }
    loading.value = false
  }

  function reset(): Promise<void> {
    trail.value = [undefined]
    return read()
  }
  function forward(): Promise<void> {
    if (!next.value) return Promise.resolve()
    trail.value = [...trail.value, next.value]
    return read()
  }
  function back(): Promise<void> {
    if (trail.value.length < 2) return Promise.resolve()
    trail.value = trail.value.slice(0, -1)
    return read()
  }

  watch(filter, (to, from) => {
    if (JSON.stringify(to) !== JSON.stringify(from)) void reset()
  })
  watch(useConnection().returned, () => void read())
  onScopeDispose(() => running?.abort())
  void read()

  return { rows, total, next, loading, loaded, error, trail, limit, reload: read, reset, forward, back }
}
