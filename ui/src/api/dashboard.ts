import { api, body } from './client'
import type { components, operations } from './schema'

export type Dashboard = operations['get-dashboard']['responses']['200']['content']['application/json']
export type Period = components['schemas']['Period']
export type Point = components['schemas']['Point']

export function getDashboard(signal: AbortSignal): Promise<Dashboard> {
  return body(api.GET('/admin/api/dashboard', { signal }))
}
