import { api, body, ifMatch } from './client'
import type { components } from './schema'

export type Token = components['schemas']['TokenView']
export type NewToken = components['schemas']['CreateTokenInBody']

export async function listTokens(signal: AbortSignal): Promise<Token[]> {
  return (await body(api.GET('/admin/api/tokens', { signal }))).items
}

/** Makes a token. The secret is shown once, and kept nowhere. */
export async function createToken(token: NewToken): Promise<string> {
  return (await body(api.POST('/admin/api/tokens', { body: token }))).secret
}

export function deleteToken(of: Token): Promise<unknown> {
  return body(api.DELETE('/admin/api/tokens/{name}', { params: { path: { name: of.name }, header: ifMatch(of.revision) } }))
}
