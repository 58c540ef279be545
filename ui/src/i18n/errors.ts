import type { ApiError } from '@/api/errors'
import { format } from '@/composables/useFormat'
import { hasMessage, t } from '.'
import { said } from './said'

/** Says why something could not be read, where nothing was to be changed. */
export function readErrorText(error: ApiError): string {
  const key = `errors.reading.${error.code}`
  return hasMessage(key) ? t(key) : errorText(error)
}

/** Says what went wrong, in the reader's language where the code is known. */
export function errorText(error: ApiError): string {
  if (error.code === 'locked' && error.retryAfter) {
    return t('errors.lockedFor', { time: format.duration(error.retryAfter) })
  }
  // The code says what kind of error it is; the text, which of them.
  if ((error.code === 'invalid' || error.code === 'would_lock_out') && error.reason) return said({ message: error.message, ...error.reason })
  const key = `errors.codes.${error.code}`
  if (hasMessage(key)) return t(key)
  if (error.message) return error.message
  return t('errors.status', { status: error.status })
}
