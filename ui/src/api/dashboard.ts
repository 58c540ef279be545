import { api, body, compact } from './client'
import type { components, operations } from './schema'

export type Dashboard = operations['get-dashboard']['responses']['200']['content']['application/json']
export type Period = components['schemas']['Period']
export type Point = components['schemas']['Point']
/** The periods that have points finer than hours, if they are asked for. */
export type FineRange = '1h' | '6h'

export function getDashboard(range: FineRange | undefined, signal: AbortSignal): Promise<Dashboard> {
  return body(api.GET('/admin/api/dashboard', { params: { query: compact({ range }) }, signal }))
}
