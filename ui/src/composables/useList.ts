import { type Ref, onScopeDispose, ref, shallowRef, watch } from 'vue'
import { type ApiError, toApiError } from '@/api/errors'
import { useConnection } from './useConnection'

/** One page of a list, as all lists of the API have it. */
export interface Page<T> {
  items: T[] | null
  next?: string
  total?: number
}

/** The cursors of the pages up to this one; the first page has none, and null is one that is not known. */
export type Trail = (string | undefined | null)[]

/** A list as useList gives it. */
export interface List<T> {
  rows: Readonly<Ref<T[]>>
  /** How many there are in all, where the server counts them. */
  total: Readonly<Ref<number | undefined>>
  next: Readonly<Ref<string | undefined>>
  loading: Readonly<Ref<boolean>>
  loaded: Readonly<Ref<boolean>>
  error: Readonly<Ref<ApiError | null>>
  trail: Readonly<Ref<Trail>>
  limit: number
  reload(): Promise<void>
  reset(): Promise<void>
  forward(): Promise<void>
  back(): Promise<void>
}

/** Which page of a list: its number, and the cursor that leads to it. The first has none. */
export interface Place {
  page: number
  after: string | undefined
}

export interface ListQuery {
  limit: number
  after: string | undefined
}

/**
 * A list that is read page by page with cursors. filter is watched: a change
 * begins again at the first page. What is shown stays until its successor is
 * there; an answer that comes late is dropped. place, such as that of the address
 * bar, says where it begins, and is told where it is.
 */
export function useList<T, F>(filter: Ref<F>, load: (filter: F, page: ListQuery, signal: AbortSignal) => Promise<Page<T>>, limit = 50, place: Ref<Place> = ref({ page: 1, after: undefined })): List<T> {
  const rows: Ref<T[]> = shallowRef([])
  const total = ref<number>()
  const next = ref<string>()
  const loading = ref(true)
  const error = shallowRef<ApiError | null>(null)
  const loaded = ref(false)
  const trail = ref<Trail>(trailTo(place.value))
  let running: AbortController | undefined

  async function read(): Promise<void> {
    running?.abort()
    const mine = (running = new AbortController())
    loading.value = true
    try {
      const page = await load(filter.value, { limit, after: trail.value.at(-1) ?? undefined }, mine.signal)
      if (mine !== running) return
      rows.value = page.items ?? []
      next.value = page.next
      total.value = page.total
      error.value = null
      loaded.value = true
    } catch (thrown) {
      if (mine !== running || mine.signal.aborted) return
      error.value = toApiError(thrown)
      // A cursor of a link may be of another list, or too old.
      if (error.value.field('query.after')) return reset()
    }
    loading.value = false
  }

  function go(to: Trail): Promise<void> {
    trail.value = to
    place.value = { page: to.length, after: to.at(-1) ?? undefined }
    return read()
  }
  function reset(): Promise<void> {
    return go([undefined])
  }
  function forward(): Promise<void> {
    if (!next.value) return Promise.resolve()
    return go([...trail.value, next.value])
  }
  function back(): Promise<void> {
    if (trail.value.length < 2) return Promise.resolve()
    const before = trail.value.slice(0, -1)
    return before.at(-1) === null ? reset() : go(before)
  }

  watch(filter, (to, from) => {
    if (JSON.stringify(to) !== JSON.stringify(from)) void reset()
  })
  watch([() => place.value.page, () => place.value.after], () => {
    const to = place.value
    if (to.page === trail.value.length && to.after === (trail.value.at(-1) ?? undefined)) return // it comes from here
    trail.value = trailTo(to)
    void read()
  })
  watch(useConnection().returned, () => void read())
  onScopeDispose(() => running?.abort())
  void read()

  return { rows, total, next, loading, loaded, error, trail, limit, reload: read, reset, forward, back }
}

/** The way to a page of which only the last cursor is known. */
function trailTo({ page, after }: Place): Trail {
  if (page < 2 || after === undefined) return [undefined]
  return [undefined, ...Array.from({ length: Math.min(page, 1_000_000) - 2 }, () => null), after]
}
