import { api, body, ifMatch } from './client'
import type { Account, Role } from './session'

const one = '/admin/api/accounts/{name}'

export async function listAccounts(signal: AbortSignal): Promise<Account[]> {
  return (await body(api.GET('/admin/api/accounts', { signal }))).items
}

export function createAccount(account: { name: string; role: Role; password: string }): Promise<Account> {
  return body(api.POST('/admin/api/accounts', { body: account }))
}

export function changeAccount(of: Account, change: { role?: Role; disabled?: boolean; password?: string }): Promise<Account> {
  return body(api.PATCH(one, { params: { path: { name: of.name }, header: ifMatch(of.revision) }, body: change }))
}

export function deleteAccount(of: Account): Promise<unknown> {
  return body(api.DELETE(one, { params: { path: { name: of.name }, header: ifMatch(of.revision) } }))
}

export function takeSecondFactor(of: Account): Promise<unknown> {
  return body(api.DELETE('/admin/api/accounts/{name}/totp', { params: { path: { name: of.name }, header: ifMatch(of.revision) } }))
}
