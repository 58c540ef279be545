import { api, body } from './client'
import type { components } from './schema'

export type NodeState = components['schemas']['NodeBody']
export type PartHealth = components['schemas']['HealthBody']

export function listNodes(signal: AbortSignal) {
  return body(api.GET('/admin/api/nodes', { signal }))
}
