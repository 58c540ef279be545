import { ref } from 'vue'
import { type ApiError, toApiError } from '@/api/errors'
import { errorText } from '@/i18n/errors'

export interface Toast {
  id: number
  text: string
  tone: 'ok' | 'danger'
  action?: { label: string; act: () => void }
}

export const toasts = ref<Toast[]>([])
let lastId = 0

export function toast(text: string, options: { tone?: Toast['tone']; action?: Toast['action'] } = {}): void {
  const id = ++lastId
  toasts.value.push({ id, text, tone: options.tone ?? 'ok', ...(options.action ? { action: options.action } : {}) })
  if (toasts.value.length > 4) toasts.value.shift()
  setTimeout(() => dismiss(id), options.action ? 10_000 : options.tone === 'danger' ? 8000 : 4000)
}

export function toastError(thrown: unknown): ApiError {
  const error = toApiError(thrown)
  if (error.status !== 401 && error.status !== 0) toast(errorText(error), { tone: 'danger' })
  return error
}

export function dismiss(id: number): void {
  toasts.value = toasts.value.filter((one) => one.id !== id)
}
