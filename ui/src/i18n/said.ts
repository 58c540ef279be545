import zhCN from './api.zh-CN'
import { currentLocale } from '.'

/** A text of the API, with what is needed to say it in another language. */
export interface Said {
  message: string
  code?: string | undefined
  params?: Record<string, string> | undefined
}

/** Says it in the reader's language. The API itself speaks English, and so is what has no code. */
export function said({ message, code, params }: Said): string {
  const text = currentLocale() === 'zh-CN' && code ? zhCN[code] : undefined
  return text ? text.replace(/\{(\w+)\}/g, (_, name: string) => params?.[name] ?? '') : message
}
