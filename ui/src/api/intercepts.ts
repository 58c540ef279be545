import { address } from './bindings'
import { api, body, compact } from './client'
import type { components, operations } from './schema'

export type Intercept = components['schemas']['InterceptBody']
export type Reason = Intercept['reason']
export type InterceptQuery = NonNullable<operations['list-logs']['parameters']['query']>
export type InterceptFilter = Omit<NonNullable<operations['export-logs']['parameters']['query']>, 'format'>

export const reasons: Reason[] = ['ip_not_allowed', 'key_banned', 'lost_race', 'stream_cut', 'network_blocked']

/**
 * What tells a record from all others wherever it comes from: a node of a cluster tells of
 * its own records by another ID than the one they are listed by.
 */
export function recordKey(one: Intercept): string {
  return `${one.requestId} ${one.hash} ${one.reason}`
}

export function listIntercepts(query: InterceptQuery, signal: AbortSignal) {
  return body(api.GET('/admin/api/logs', { params: { query: compact(query) }, signal }))
}

export function getIntercept(id: string, signal: AbortSignal): Promise<Intercept> {
  return body(api.GET('/admin/api/logs/{id}', { params: { path: { id: Number(id) } }, signal }))
}

export function exportInterceptsAddress(format: 'csv' | 'jsonl', filter: InterceptFilter): string {
  return address('/admin/api/logs/export', { format, ...compact(filter) })
}
