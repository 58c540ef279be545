import { api, body } from './client'
import type { components } from './schema'

export type Setting = components['schemas']['Setting']

export async function listSettings(signal: AbortSignal): Promise<Setting[]> {
  return (await body(api.GET('/admin/api/settings', { signal }))).items
}

/** Sets values, or with null takes them back to what the environment says; all or none. force: even if that locks the caller out. */
export function changeSettings(values: Record<string, string | null>, force = false): Promise<unknown> {
  return body(api.PUT('/admin/api/settings', { body: force ? { values, force } : { values } }))
}
