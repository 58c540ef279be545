import { api, body } from './client'
import type { components } from './schema'

type Schemas = components['schemas']
export type Role = Schemas['MeView']['role']
export type Me = Schemas['MeView']
export type Account = Schemas['AccountView']

export interface Credentials {
  username: string
  password: string
  code?: string
}

export function fetchMe(): Promise<Me> {
  return body(api.GET('/admin/api/me'))
}

/** Signs in: the answer sets the cookie of the session. */
export function signIn(credentials: Credentials): Promise<unknown> {
  return body(api.POST('/admin/api/login', { body: credentials }))
}

export function signOut(): Promise<unknown> {
  return body(api.POST('/admin/api/logout'))
}

/** Whether there is no account yet. */
export async function setupNeeded(): Promise<boolean> {
  return (await body(api.GET('/admin/api/setup'))).needed
}

/** Makes the first account, and signs in as it. */
export function setUp(token: string, username: string, password: string): Promise<unknown> {
  return body(api.POST('/admin/api/setup', { body: { token, username, password } }))
}

export function changePassword(current: string, next: string): Promise<unknown> {
  return body(api.POST('/admin/api/me/password', { body: { current, new: next } }))
}

export function beginSecondFactor(): Promise<Schemas['EnrolmentView']> {
  return body(api.POST('/admin/api/me/totp'))
}

/** Puts the second factor in force, and returns the recovery codes. */
export async function confirmSecondFactor(code: string): Promise<string[]> {
  return (await body(api.POST('/admin/api/me/totp/confirm', { body: { code } }))).recoveryCodes
}

export function disableSecondFactor(password: string): Promise<unknown> {
  return body(api.DELETE('/admin/api/me/totp', { body: { password } }))
}

export async function renewRecoveryCodes(password: string): Promise<string[]> {
  return (await body(api.POST('/admin/api/me/recovery-codes', { body: { password } }))).recoveryCodes
}
