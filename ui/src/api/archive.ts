import type { Binding } from './bindings'
import { api, body, compact, ifMatch } from './client'
import type { operations } from './schema'

export type ArchiveQuery = NonNullable<operations['list-archive']['parameters']['query']>
export type ArchivedRow = operations['list-archive']['responses']['200']['content']['application/json']['items'][number]

export function listArchive(query: ArchiveQuery, signal: AbortSignal) {
  return body(api.GET('/admin/api/archive', { params: { query: compact(query) }, signal }))
}

export function getArchived(hash: string, signal: AbortSignal) {
  return body(api.GET('/admin/api/archive/{hash}', { params: { path: { hash } }, signal }))
}

export function restore(hash: string): Promise<Binding> {
  return body(api.POST('/admin/api/archive/{hash}/restore', { params: { path: { hash } } }))
}

/** Moves what was restored into the archive again, if nobody has changed or used it since. */
export function undoRestore(of: Binding): Promise<unknown> {
  return body(api.POST('/admin/api/archive/{hash}/restore/undo', { params: { path: { hash: of.hash }, header: ifMatch(of.revision) } }))
}
