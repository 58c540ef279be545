import { type WatchSource, onScopeDispose, ref, shallowRef, watch } from 'vue'
import { type ApiError, toApiError } from '@/api/errors'
import { useConnection } from './useConnection'

/**
 * One thing that is read from the server, again when a source changes and when
 * the server is back. What was read stays while it is read again.
 */
export function useLoad<T>(load: (signal: AbortSignal) => Promise<T>, sources: WatchSource[] = []) {
  const value = shallowRef<T>()
  const error = shallowRef<ApiError | null>(null)
  const loading = ref(true)
  let running: AbortController | undefined

  async function reload(): Promise<void> {
    running?.abort()
    const mine = (running = new AbortController())
    loading.value = true
    try {
      const read = await load(mine.signal)
      if (mine !== running) return
      value.value = read
      error.value = null
    } catch (thrown) {
      if (mine !== running || mine.signal.aborted) return
      error.value = toApiError(thrown)
    }
    loading.value = false
  }

  watch([useConnection().returned, ...sources], () => void reload())
  onScopeDispose(() => running?.abort())
  void reload()
  return { value, error, loading, reload }
}
