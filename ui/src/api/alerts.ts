import { api, body, compact, ifMatch } from './client'
import type { components, operations } from './schema'

type Schemas = components['schemas']
export type Alert = Schemas['AlertBody']
export type AlertKind = Alert['kind']
export type AlertQuery = NonNullable<operations['list-alerts']['parameters']['query']>
export type Channel = Schemas['ChannelBody']
export type ChannelType = Channel['type']
export type NewChannel = Schemas['CreateChannelInputBody']
export type ChannelChange = Schemas['ReplaceChannelInputBody']
export type Delivery = Schemas['DeliveryBody']
export type DeliveryQuery = NonNullable<operations['list-alert-deliveries']['parameters']['query']>
export type TestResult = Schemas['TestResult']

export const alertKinds = [
  'key_refused', 'key_shared', 'unknown_keys', 'first_use_held', 'many_bindings', 'new_binding', 'returned_binding', 'login_lockout', 'store_failing', 'downstream_failing',
] as const satisfies readonly AlertKind[]
export const channelTypes = ['webhook', 'feishu', 'dingtalk', 'wecom', 'slack', 'email'] as const satisfies readonly ChannelType[]

const channel = '/admin/api/alert-channels/{id}'

export function listAlerts(query: AlertQuery, signal: AbortSignal) {
  return body(api.GET('/admin/api/alerts', { params: { query: compact(query) }, signal }))
}

export function getAlert(id: string, signal: AbortSignal): Promise<Alert> {
  return body(api.GET('/admin/api/alerts/{id}', { params: { path: { id } }, signal }))
}

export function acknowledge(id: string): Promise<Alert> {
  return body(api.POST('/admin/api/alerts/{id}/acknowledge', { params: { path: { id } } }))
}

export async function listChannels(signal: AbortSignal): Promise<Channel[]> {
  return (await body(api.GET('/admin/api/alert-channels', { signal }))).items
}

export function createChannel(made: NewChannel): Promise<Channel> {
  return body(api.POST('/admin/api/alert-channels', { body: made }))
}

/** Replaces a channel; secrets that are absent stay as they are. */
export function replaceChannel(of: Channel, change: ChannelChange): Promise<Channel> {
  return body(api.PUT(channel, { params: { path: { id: of.id }, header: ifMatch(of.revision) }, body: change }))
}

export function deleteChannel(of: Channel): Promise<unknown> {
  return body(api.DELETE(channel, { params: { path: { id: of.id }, header: ifMatch(of.revision) } }))
}

export function testChannel(id: string): Promise<TestResult> {
  return body(api.POST('/admin/api/alert-channels/{id}/test', { params: { path: { id } } }))
}

export function listDeliveries(query: DeliveryQuery, signal: AbortSignal) {
  return body(api.GET('/admin/api/alert-deliveries', { params: { query: compact(query) }, signal }))
}

export function retryDelivery(id: string): Promise<Delivery> {
  return body(api.POST('/admin/api/alert-deliveries/{id}/retry', { params: { path: { id } } }))
}
