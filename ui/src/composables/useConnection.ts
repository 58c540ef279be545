import { readonly, ref } from 'vue'

const lost = ref(false)
/** Grows each time that Sentinel is there again: what watches it loads anew. */
const returned = ref(0)
let timer: ReturnType<typeof setTimeout> | undefined

/** Told of every answer, and of every one that did not come. */
export function noteReached(ok: boolean): void {
  if (ok) {
    if (!lost.value) return
    lost.value = false
    clearTimeout(timer)
    returned.value++
    return
  }
  if (lost.value) return
  lost.value = true
  knock()
}

function knock(): void {
  clearTimeout(timer)
  timer = setTimeout(async () => {
    try {
      const answer = await fetch('/admin/api/setup', { cache: 'no-store' })
      if (answer.status !== 502 && answer.status !== 504) return noteReached(true)
    } catch {
      // Still away.
    }
    if (lost.value) knock()
  }, 1500)
}

/** What could not be read while a session was over can be now. */
export function readAnew(): void {
  returned.value++
}

export function useConnection() {
  return { lost: readonly(lost), returned: readonly(returned) }
}
