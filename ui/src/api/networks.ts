import { api, body, compact, ifMatch } from './client'
import type { components, operations } from './schema'

type Schemas = components['schemas']
export type Network = Schemas['NetworkBody']
export type NetworkFields = Schemas['NetworkFields']

const one = '/admin/api/networks/{name}'

export function listNetworks(signal: AbortSignal) {
  return body(api.GET('/admin/api/networks', { signal }))
}

export function getNetwork(name: string, signal: AbortSignal): Promise<Network> {
  return body(api.GET(one, { params: { path: { name } }, signal }))
}

export function createNetwork(network: NetworkFields & { name: string }): Promise<Schemas['ChangedNetwork']> {
  return body(api.POST('/admin/api/networks', { body: network }))
}

export function replaceNetwork(name: string, fields: NetworkFields, revision: number): Promise<Schemas['ChangedNetwork']> {
  return body(api.PUT(one, { params: { path: { name }, header: ifMatch(revision) }, body: fields }))
}

/** Deletes a network. inline: the rules that name it get its prefixes; drop: they lose it. */
export function deleteNetwork(name: string, revision: number, rules: 'refuse' | 'inline' | 'drop') {
  return body(api.DELETE(one, { params: { path: { name }, header: ifMatch(revision), query: { rules } } }))
}

export type Blocked = Schemas['BlockedBody']
export type BlockedQuery = NonNullable<operations['list-blocked-networks']['parameters']['query']>
export type Block = Schemas['BlockInputBody']

export function listBlocked(query: BlockedQuery, signal: AbortSignal) {
  return body(api.GET('/admin/api/blocked-networks', { params: { query: compact(query) }, signal }))
}

export function block(what: Block) {
  return body(api.POST('/admin/api/blocked-networks', { body: what }))
}

export function unblock(prefixes: string[]) {
  return body(api.POST('/admin/api/blocked-networks/remove', { body: { prefixes } }))
}

/** The address of the list of blocked networks, which the browser downloads by itself. */
export const blockedExport = '/admin/api/blocked-networks/export'

export type Exception = Schemas['ExceptionBody']
export type ExceptionQuery = NonNullable<operations['list-exceptions']['parameters']['query']>
export type NewException = Schemas['NewException']

export function listExceptions(query: ExceptionQuery, signal: AbortSignal) {
  return body(api.GET('/admin/api/exceptions', { params: { query: compact(query) }, signal }))
}

export function createException(made: NewException): Promise<Exception> {
  return body(api.POST('/admin/api/exceptions', { body: made }))
}

export function endException(id: string): Promise<Exception> {
  return body(api.DELETE('/admin/api/exceptions/{id}', { params: { path: { id } } }))
}
