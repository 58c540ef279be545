import { api, body, compact } from './client'
import type { operations } from './schema'

export type ArchiveQuery = NonNullable<operations['list-archive']['parameters']['query']>
export type ArchivedRow = operations['list-archive']['responses']['200']['content']['application/json']['items'][number]

export function listArchive(query: ArchiveQuery, signal: AbortSignal) {
  return body(api.GET('/admin/api/archive', { params: { query: compact(query) }, signal }))
}

export function restore(hash: string): Promise<unknown> {
  return body(api.POST('/admin/api/archive/{hash}/restore', { params: { path: { hash } } }))
}
