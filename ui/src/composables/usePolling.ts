import { onScopeDispose } from 'vue'

/** Calls again and again while the page can be seen, and at once when it is seen again. */
export function usePolling(call: () => unknown, everyMs: number): void {
  let timer: ReturnType<typeof setInterval> | undefined
  const start = () => {
    stop()
    timer = setInterval(() => void call(), everyMs)
  }
  const stop = () => clearInterval(timer)
  const seen = () => {
    if (document.hidden) return stop()
    void call()
    start()
  }
  document.addEventListener('visibilitychange', seen)
  onScopeDispose(() => {
    stop()
    document.removeEventListener('visibilitychange', seen)
  })
  if (!document.hidden) start()
}
