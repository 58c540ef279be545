import { api, body, ifMatch } from './client'
import type { components } from './schema'

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
