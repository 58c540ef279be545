import { api, body, compact } from './client'
import type { operations } from './schema'

export type AuditQuery = NonNullable<operations['list-audit']['parameters']['query']>
export type AuditEntry = operations['list-audit']['responses']['200']['content']['application/json']['items'][number]

export function listAudit(query: AuditQuery, signal: AbortSignal) {
  return body(api.GET('/admin/api/audit', { params: { query: compact(query) }, signal }))
}

export function getAuditEntry(id: string, signal: AbortSignal): Promise<AuditEntry> {
  return body(api.GET('/admin/api/audit/{id}', { params: { path: { id: Number(id) } }, signal }))
}
