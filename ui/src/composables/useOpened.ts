import { type Ref, type WritableComputedRef, computed, shallowRef, watch } from 'vue'
import { toastError } from './useToasts'
import { useQueryValue } from './useQuery'

/**
 * The row that is looked into, which the address bar names. One that is on no page
 * that was read is read by itself; and it stays when it leaves the list.
 */
export function useOpened<T>(name: string, rows: Readonly<Ref<T[]>>, idOf: (row: T) => string, read: (id: string, signal: AbortSignal) => Promise<T>): WritableComputedRef<T | null> {
  const id = useQueryValue(name)
  const kept = shallowRef<T | null>(null)
  const opened = computed<T | null>({
    get: () => (id.value === '' ? null : (rows.value.find((row) => idOf(row) === id.value) ?? (kept.value && idOf(kept.value) === id.value ? kept.value : null))),
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
