import { createI18n } from 'vue-i18n'
import en from './en'
import zhCN from './zh-CN'

export const locales = ['en', 'zh-CN'] as const
export type Locale = (typeof locales)[number]

/** The names of the languages, each in itself. */
export const localeNames: Record<Locale, string> = { en: 'English', 'zh-CN': '简体中文' }

/** What every language has to have: the shape of en.ts. */
export type Messages = Shape<typeof en>
type Shape<T> = { [K in keyof T]: T[K] extends string ? string : Shape<T[K]> }

/** The name of a message, such as bindings.table.lastUsed. */
export type MessageKey = Leaf<typeof en>
type Leaf<T> = { [K in keyof T & string]: T[K] extends string ? K : `${K}.${Leaf<T[K]>}` }[keyof T & string]

const plugin = createI18n({
  legacy: false,
  locale: 'en',
  fallbackLocale: false,
  messages: { en: en as Messages, 'zh-CN': zhCN },
})
export default plugin

/** The language that the browser asks for first, of those that there are. */
export function localeOfBrowser(): Locale {
  for (const language of navigator.languages) {
    if (/^zh\b/i.test(language)) return 'zh-CN'
    if (/^en\b/i.test(language)) return 'en'
  }
  return 'en'
}

export function setLocale(locale: Locale): void {
  plugin.global.locale.value = locale
  document.documentElement.lang = locale
}

/** The language of now; reactive. */
export function currentLocale(): Locale {
  return plugin.global.locale.value
}

type Values = Record<string, string | number>

/** A message. Reactive: it changes with the language. */
export function t(key: MessageKey, values: Values = {}): string {
  return plugin.global.t(key, values)
}

/** A message that depends on a number, which it has as {n}. */
export function tn(key: MessageKey, n: number, values: Values = {}): string {
  return plugin.global.t(key, { n: new Intl.NumberFormat(currentLocale()).format(n), ...values }, n)
}

/** Whether there is such a message. */
export function hasMessage(key: string): key is MessageKey {
  return plugin.global.te(key, 'en')
}
