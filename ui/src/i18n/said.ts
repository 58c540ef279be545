import zhCN from './api.zh-CN'
import { currentLocale } from '.'

/** A text of the API, with what is needed to say it in another language. */
export interface Said {
  message: string
  code?: string | undefined
  params?: Record<string, string> | undefined
}

/** What the API has in English in the words of a system's error, which are no reader's. */
const english: Record<string, string> = {
  net_ended: 'the other side closed the connection',
  net_no_host: 'there is no host {host}',
  net_no_host_at: 'there is no host {host}',
  net_no_route: 'there is no route to {address}',
  net_refused: '{address} refuses connections',
  net_reset: 'the other side reset the connection',
  net_timeout: '{address} does not answer in time',
  net_unreachable: 'the network of {address} cannot be reached',
}

/** Says it in the reader's language. The API itself speaks English, and so is what has no code. */
export function said({ message, code, params }: Said): string {
  const text = code ? (currentLocale() === 'zh-CN' ? zhCN : english)[code] : undefined
  return text ? text.replace(/\{(\w+)\}/g, (_, name: string) => params?.[name] ?? '') : message
}
