import type { Channel, ChannelChange, ChannelType } from '@/api/alerts'

/** Which types can sign what they send. */
export function signs(type: ChannelType): boolean {
  return type === 'webhook' || type === 'feishu' || type === 'dingtalk'
}

/** A channel as it is, to be sent again with a change. Secrets stay by being absent. */
export function changeOf(of: Channel): ChannelChange {
  return {
    enabled: of.enabled,
    ...(of.kinds ? { kinds: of.kinds } : {}), ...(of.language ? { language: of.language } : {}),
    ...(of.useProxy ? { useProxy: true } : {}), ...(of.mail ? { mail: of.mail } : {}),
  }
}
