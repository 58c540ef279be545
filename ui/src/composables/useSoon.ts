import { onScopeDispose } from 'vue'

/** Puts a call off until nothing has asked for it for a while; many calls become one. */
export function useSoon(act: () => void, afterMs: number): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined
  onScopeDispose(() => clearTimeout(timer))
  return () => {
    clearTimeout(timer)
    timer = setTimeout(act, afterMs)
  }
}
