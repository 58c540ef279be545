import { ref } from 'vue'
import { toastError } from './useToasts'

/** What of a list is being acted on, one at a time; a failure is told in a toast. */
export function useRunning() {
  const running = ref('')
  async function run(id: string, act: () => Promise<void>): Promise<void> {
    running.value = id
    try {
      await act()
    } catch (thrown) {
      toastError(thrown)
    }
    running.value = ''
  }
  return { running, run }
}
