import { ref, shallowRef } from 'vue'
import { type ApiError, type FieldFault, isWithin, toApiError } from '@/api/errors'

/** What a form sends, one at a time. What goes wrong is told, and what was typed stays. */
export interface Submission {
  running: Readonly<{ value: boolean }>
  error: { value: ApiError | null }
  /** The fault of a field, such as body.name; a form that asks for it shows it beside the field. */
  fault: (location: string) => string | undefined
  /** The faults that no field shows. */
  rest: () => FieldFault[]
  submit: (act: () => Promise<void>) => Promise<void>
}

export function useSubmit(): Submission {
  const running = ref(false)
  const error = shallowRef<ApiError | null>(null)
  const shown = new Set<string>()

  function fault(location: string): string | undefined {
    shown.add(location)
    return error.value?.field(location)
  }
  function rest(): FieldFault[] {
    return (error.value?.fields ?? []).filter((one) => ![...shown].some((location) => isWithin(one.location, location)))
  }
  async function submit(act: () => Promise<void>): Promise<void> {
    if (running.value) return
    running.value = true
    error.value = null
    try {
      await act()
    } catch (thrown) {
      error.value = toApiError(thrown)
    }
    running.value = false
  }
  return { running, error, fault, rest, submit }
}
