import { type Ref, type WritableComputedRef, computed, shallowRef, watch } from 'vue'
import { toastError } from './useToasts'
import { useQueryValue } from './useQuery'

/**
 * The row that is looked into, which the address bar names. One that is on no page
 * that was read is read by itself; and it stays when it leaves the list.
 */
export function useOpened<T>(
  name: string, rows: Readonly<Ref<T[]>>, idOf: (row: T) => string, read: (id: string, signal: AbortSignal) => Promise<T>,
  /** What tells one row from all others, where that is not the ID. */
  keyOf = idOf,
): WritableComputedRef<T | null> {
  const id = useQueryValue(name)
  const kept = shallowRef<T | null>(null)
  const opened = computed<T | null>({
    get: () => {
      if (id.value === '') return null
      const mine = kept.value && idOf(kept.value) === id.value ? kept.value : null
      return rows.value.find((row) => (mine ? keyOf(row) === keyOf(mine) : idOf(row) === id.value)) ?? mine
    },
    set: (to) => {
      kept.value = to
      id.value = to ? idOf(to) : ''
    },
  })
  watch(
    id,
    async (wanted, _, onCleanup) => {
      if (wanted === '' || opened.value) return
      const abort = new AbortController()
      onCleanup(() => abort.abort())
      try {
        const found = await read(wanted, abort.signal)
        if (id.value === wanted) kept.value = found
      } catch (thrown) {
        if (abort.signal.aborted) return
        toastError(thrown)
        if (id.value === wanted) id.value = ''
      }
    },
    { immediate: true },
  )
  return opened
}
