import { api, body } from './client'
import type { components } from './schema'

export type Setting = components['schemas']['Setting']

export async function listSettings(signal: AbortSignal): Promise<Setting[]> {
  return (await body(api.GET('/admin/api/settings', { signal }))).items
}

export type SettingWarning = components['schemas']['SettingWarning']

/** What is meant although it looks like a slip. */
export interface Confirmed {
  /** Even if that locks the caller out. */
  force?: boolean
  /** 0.0.0.0/0 or ::/0 among trusted proxies or admin networks. */
  anySource?: boolean
}

/** Sets values, or with null takes them back to what the environment says; all or none. Returns what is doubtful about them. */
export async function changeSettings(values: Record<string, string | null>, { force, anySource }: Confirmed = {}): Promise<SettingWarning[]> {
  const sent = { values, ...(force ? { force } : {}), ...(anySource ? { confirmAnySource: true } : {}) }
  return (await body(api.PUT('/admin/api/settings', { body: sent }))).warnings
}
