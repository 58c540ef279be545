import type { ApiError } from '@/api/errors'
import { format } from '@/composables/useFormat'
import { hasMessage, t } from '.'

/** Says what went wrong, in the reader's language where the code is known. */
export function errorText(error: ApiError): string {
  if (error.code === 'locked' && error.retryAfter) {
    return t('errors.lockedFor', { time: format.duration(error.retryAfter) })
  }
  const key = `errors.codes.${error.code}`
  if (hasMessage(key)) return t(key)
  if (error.message) return error.message
  return t('errors.status', { status: error.status })
}
