import { api, body } from './client'
import type { operations } from './schema'

export type About = operations['get-about']['responses']['200']['content']['application/json']

export function getAbout(signal: AbortSignal): Promise<About> {
  return body(api.GET('/admin/api/about', { signal }))
}

export function housekeep() {
  return body(api.POST('/admin/api/maintenance/housekeeping'))
}

export function compactStore() {
  return body(api.POST('/admin/api/maintenance/compact'))
}

/** The browser downloads the snapshot by itself. */
export const backupAddress = '/admin/api/backup'
