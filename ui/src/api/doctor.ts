import { api, body } from './client'
import type { components } from './schema'

type Schemas = components['schemas']
export type Diagnosis = Schemas['Diagnosis']
export type Step = Schemas['Step']
export type Examined = Schemas['DoctorInputBody']

/** How the client IP of this very request comes about. */
export function examineOwn(signal?: AbortSignal): Promise<Diagnosis> {
  return body(api.GET('/admin/api/ip-doctor', signal ? { signal } : {}))
}

/** How that of a described request would, or what other settings would make of it. */
export function examine(what: Examined): Promise<Diagnosis> {
  return body(api.POST('/admin/api/ip-doctor', { body: what }))
}
