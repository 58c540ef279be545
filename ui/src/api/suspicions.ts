import { api, body } from './client'
import type { components } from './schema'

export type Suspicion = components['schemas']['SuspicionBody']

export function listSuspicions(signal: AbortSignal) {
  return body(api.GET('/admin/api/suspicions', { signal }))
}

export function dismissSuspicion(hash: string): Promise<unknown> {
  return body(api.DELETE('/admin/api/suspicions/{hash}', { params: { path: { hash } } }))
}
