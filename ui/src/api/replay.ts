import type { NewBinding } from './bindings'
import { api, body } from './client'
import type { components } from './schema'

export type Replay = components['schemas']['ReplayBody']
export type ReplayRow = components['schemas']['ReplayRow']

const rows = 200

/** What the rules as they are would have refused. */
export function replayAll(since: string, signal: AbortSignal): Promise<Replay> {
  return body(api.POST('/admin/api/replay', { body: { since, rows }, signal }))
}

/** What a rule would have refused of one key; without a rule, its own. */
export function replayBinding(hash: string, since: string, rule: NewBinding['rule'] | undefined, signal: AbortSignal): Promise<Replay> {
  return body(api.POST('/admin/api/bindings/{hash}/replay', { params: { path: { hash } }, body: { since, rows, ...(rule ? { rule } : {}) }, signal }))
}
