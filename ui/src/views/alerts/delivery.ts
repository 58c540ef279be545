import { type Delivery, listDeliveries } from '@/api/alerts'
import { ApiError } from '@/api/errors'

/** How bad each state is. */
export const tones: Record<Delivery['state'], string> = { pending: 'warn', delivered: 'ok', failed: 'danger', dropped: 'danger' }

/** Reads one by its ID, which begins with that of its alert. */
export async function getDelivery(id: string, signal: AbortSignal): Promise<Delivery> {
  const { items } = await listDeliveries({ alert: id.slice(0, id.indexOf('.')), limit: 200 }, signal)
  const found = items?.find((one) => one.id === id)
  if (!found) throw new ApiError(404, { code: 'not_found' })
  return found
}
