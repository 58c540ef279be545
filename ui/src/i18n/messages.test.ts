import { readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import en from './en'
import { type MessageKey, locales, setLocale, t, tn } from '.'
import zhCN from './zh-CN'

function flatten(value: object, at = ''): Map<string, string> {
  const all = new Map<string, string>()
  for (const [name, one] of Object.entries(value)) {
    const key = at ? `${at}.${name}` : name
    if (typeof one === 'string') all.set(key, one)
    else for (const [k, v] of flatten(one as object, key)) all.set(k, v)
  }
  return all
}

function sources(dir: string): string[] {
  return readdirSync(dir).flatMap((name) => {
    const path = join(dir, name)
    if (statSync(path).isDirectory()) return sources(path)
    return /\.(vue|ts)$/.test(name) && !/\.test\.ts$|^en\.ts$|^zh-CN\.ts$|^schema\.ts$/.test(name) ? [readFileSync(path, 'utf8')] : []
  })
}

const english = flatten(en)
const chinese = flatten(zhCN)
const code = sources(join(__dirname, '..')).join('\n')
const placeholders = (text: string) => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort()

describe('messages', () => {
  it('are the same in both languages', () => expect([...chinese.keys()].sort()).toEqual([...english.keys()].sort()))

  it('are not empty', () => {
    expect([...english, ...chinese].filter(([, text]) => text.trim() === '')).toEqual([])
  })

  it('have the same values in them', () => {
    const wrong = [...english].filter(([key, text]) => placeholders(text).join() !== placeholders(chinese.get(key) ?? '').join())
    expect(wrong.map(([key]) => key)).toEqual([])
  })

  it('are translated', () => {
    const may = /^(shell\.product|about\.go|settings\.sources)/
    expect([...chinese].filter(([key, text]) => !may.test(key) && !/[\u4e00-\u9fff]/.test(text)).map(([key]) => key)).toEqual(['intercepts.table.userAgent'])
  })

  it('can be read, alone and with numbers', () => {
    for (const locale of locales) {
      setLocale(locale)
      for (const key of english.keys() as Iterable<MessageKey>) {
        expect(t(key), `${locale} ${key}`).not.toMatch(/[|{}]\w*$/)
        expect(tn(key, 2), `${locale} ${key}`).not.toContain(' | ')
      }
    }
    setLocale('en')
    expect([t('accounts.nameHint'), tn('bindings.count', 1), tn('bindings.count', 12_345)]).toEqual(['Letters, digits and . _ - @', '1 binding', '12,345 bindings'])
  })

  it('are all used', () => {
    // A key that is put together, such as `roles.${role}`, uses all that begin so.
    const begun = [...code.matchAll(/[`'"]((?:\w+\.)+)(?:\$\{|')/g)].map((m) => m[1] ?? '')
    const unused = [...english.keys()].filter((key) => !code.includes(`'${key}'`) && !code.includes(`\`${key}\``) && !begun.some((prefix) => key.startsWith(prefix)))
    expect(unused).toEqual([])
  })

  it('are all there', () => {
    const named = [...code.matchAll(/\bt[n]?\(\s*'([\w.]+)'/g)].map((m) => m[1] ?? '')
    expect(named.filter((key) => !english.has(key))).toEqual([])
    expect(named.length).toBeGreaterThan(300)
  })

  it('have a text for every act of the audit trail that the server writes', () => {
    const go = ['admin', 'rebind'].flatMap((name) => {
      const dir = join(__dirname, '../../../httpapi', name)
      return readdirSync(dir).filter((file) => file.endsWith('.go') && !file.endsWith('_test.go')).map((file) => readFileSync(join(dir, file), 'utf8'))
    }).join('\n')
    const acts = [...new Set([...go.matchAll(/"((?:session|binding|setting|account|token|rebind|store|log|profile|alert|channel|delivery|network|blocked|exception|suspicion)\.[a-z_]+)"/g)].map((m) => m[1] ?? ''))]
    expect(acts.length).toBeGreaterThan(20)
    expect(acts.filter((act) => !english.has(`audit.actions.${act.replace('.', '_')}`))).toEqual([])
  })
})
