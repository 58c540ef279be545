import { api, body } from './client'
import type { components } from './schema'

type Schemas = components['schemas']
export type RebindLink = Schemas['RebindLink']
export type NewRebindLink = Schemas['NewRebindLinkOutputBody']

export async function listRebindLinks(hash: string, signal: AbortSignal): Promise<RebindLink[]> {
  return (await body(api.GET('/admin/api/bindings/{hash}/rebind-links', { params: { path: { hash } }, signal }))).items
}

/** Makes a link that is good for some seconds. Its address is in the answer, and never again. */
export function createRebindLink(hash: string, seconds: number): Promise<NewRebindLink> {
  return body(api.POST('/admin/api/bindings/{hash}/rebind-links', { params: { path: { hash } }, body: { seconds } }))
}

export function revokeRebindLink(hash: string, id: string): Promise<unknown> {
  return body(api.DELETE('/admin/api/bindings/{hash}/rebind-links/{id}', { params: { path: { hash, id } } }))
}
