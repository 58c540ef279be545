import { shallowRef } from 'vue'

/** What is asked before something is done that is hard to take back. */
export interface Question {
  title: string
  /** What will happen, one paragraph each. */
  text: string[]
  confirm: string
  danger?: boolean
  /** The act itself: the dialog stays open while it runs, and if it fails. */
  act: () => Promise<void>
}

export const question = shallowRef<Question | null>(null)

/** Asks once, then acts. */
export function confirm(ask: Question): void {
  question.value = ask
}
