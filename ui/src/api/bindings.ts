import { api, body, compact, ifMatch } from './client'
import type { components, operations } from './schema'

type Schemas = components['schemas']
export type Binding = Omit<Schemas['ChangedBinding'], 'warnings'>
export type BindingRow = Schemas['BindingRow']
export type BindingDetails = Schemas['BindingDetails']
export type BindingFilter = Omit<NonNullable<operations['export-bindings']['parameters']['query']>, 'format'>
export type BindingQuery = NonNullable<operations['list-bindings']['parameters']['query']>
export type BindingEdit = Schemas['BindingPatch']
export type NewBinding = Schemas['NewBinding']
export type BulkRequest = Schemas['BulkInput']
export type BulkResult = Schemas['BulkResult']
export type BulkUndo = Schemas['BulkUndoResult']
export type ImportResult = Schemas['ImportResult']
export type ImportConflict = NonNullable<NonNullable<operations['import-bindings']['parameters']['query']>['onConflict']>
export type Explanation = Schemas['Explanation']
export type KeyName = Schemas['KeyName']

const one = '/admin/api/bindings/{hash}'

export function listBindings(query: BindingQuery, signal: AbortSignal) {
  return body(api.GET('/admin/api/bindings', { params: { query: compact(query) }, signal }))
}

/** The name of a whole key, and its binding if it has one. The key goes in the body, and nowhere else. */
export async function findKey(key: string): Promise<{ name: KeyName | undefined; bound: boolean }> {
  const found = await body(api.POST('/admin/api/bindings/search', { body: { key, limit: 1 } }))
  return { name: found.key, bound: found.total > 0 }
}

export function getBinding(hash: string, signal: AbortSignal): Promise<BindingDetails> {
  return body(api.GET(one, { params: { path: { hash } }, signal }))
}

/** Whether a key would pass from an address, and why. */
export function explain(hash: string, ip: string, signal: AbortSignal): Promise<Explanation> {
  return body(api.GET('/admin/api/bindings/{hash}/explain', { params: { path: { hash }, query: { ip } }, signal }))
}

export function createBinding(binding: NewBinding): Promise<Binding> {
  return body(api.POST('/admin/api/bindings', { body: binding }))
}

/** Changes a binding; with a revision only if it is still the one that was read. */
export function editBinding(hash: string, edit: BindingEdit, revision?: number): Promise<Binding> {
  const header = revision === undefined ? {} : ifMatch(revision)
  return body(api.PATCH(one, { params: { path: { hash }, header }, body: edit }))
}

export function unbind(hash: string, revision: number): Promise<unknown> {
  return body(api.DELETE(one, { params: { path: { hash }, header: ifMatch(revision) } }))
}

export function changeBindings(request: BulkRequest): Promise<BulkResult> {
  return body(api.POST('/admin/api/bindings/bulk', { body: request }))
}

/** Gives bindings back what a change of many took from them. */
export function undoChange(id: string): Promise<BulkUndo> {
  return body(api.POST('/admin/api/bindings/bulk/{id}/undo', { params: { path: { id } } }))
}

export function importBindings(file: Blob, query: { format: 'csv' | 'json'; onConflict: ImportConflict; dryRun: boolean; confirmAnySource: boolean }): Promise<ImportResult> {
  return body(
    api.POST('/admin/api/bindings/import', {
      params: { query: compact(query) },
      body: file,
      bodySerializer: () => file, // as it is
      headers: { 'Content-Type': query.format === 'json' ? 'application/json' : 'text/csv' },
    }),
  )
}

/** The address of an export, which the browser downloads by itself. */
export function exportAddress(format: 'csv' | 'json' | 'jsonl', filter: BindingFilter): string {
  return address('/admin/api/bindings/export', { format, ...compact(filter) })
}

export function address(path: string, query: object): string {
  const params = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]))
  return `${path}?${params.toString()}`
}
