import { readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import apiTexts from './api.zh-CN'
import en from './en'
import { type MessageKey, locales, setLocale, t, tn } from '.'
import { said } from './said'
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
    return /\.(vue|ts)$/.test(name) && !/\.test\.ts$|^en\.ts$|^(?:api\.)?zh-CN\.ts$|^schema\.ts$/.test(name) ? [readFileSync(path, 'utf8')] : []
  })
}

const english = flatten(en)
const chinese = flatten(zhCN)
const code = sources(join(__dirname, '..')).join('\n')
const goDir = join(__dirname, '../../../httpapi')
const goOfAPI = ['admin', 'rebind'].flatMap((name) => {
  const dir = join(goDir, name)
  return readdirSync(dir).filter((file) => file.endsWith('.go') && !file.endsWith('_test.go')).map((file) => readFileSync(join(dir, file), 'utf8'))
}).join('\n')
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

  it('have a text for every code of an error that the server sends', () => {
    const codes = [...new Set([...goOfAPI.matchAll(/\b(?:faultf|writeProblem)\([^"\n]*(?:http\.\w+, )"(\w+)"|\bcode: "(\w+)"/g)].map((m) => m[1] ?? m[2] ?? ''))]
    expect(codes.length).toBeGreaterThan(40)
    expect(codes.filter((code) => !english.has(`errors.codes.${code}`))).toEqual([])
  })

  it('have a Chinese text for all that the server says of fields and in warnings, with the same values', () => {
    const said = new Map([...readFileSync(join(goDir, 'admin/texts.go'), 'utf8').matchAll(/^\t\{"(\w+)", (?:"(.*)"|`(.*)`)\},$/gm)].map((m) => [m[1] ?? '', m[2] ?? m[3] ?? '']))
    expect(said.size).toBeGreaterThan(150)
    expect(Object.keys(apiTexts).sort()).toEqual([...said.keys()].sort())
    expect(Object.entries(apiTexts).filter(([code, text]) => placeholders(text).some((one) => !placeholders(said.get(code) ?? '').includes(one)) || !/[\u4e00-\u9fff]/.test(text))).toEqual([])
  })

  it('are said in the language of the reader', () => {
    const refused = { message: 'post: dial tcp 10.0.0.1:9: connect: connection refused', code: 'net_refused', params: { address: '10.0.0.1:9' } }
    expect(said(refused)).toBe('10.0.0.1:9 refuses connections')
    const fault = { message: 'learns 70 prefixes, want 1 to 64', code: 'rule_learn_limit', params: { n: '70', max: '64' } }
    expect([said(fault), said({ message: 'odd' })]).toEqual([fault.message, 'odd'])
    setLocale('zh-CN')
    expect([said(fault), said({ message: 'odd', code: 'of_tomorrow' })]).toEqual(['学习的地址数量应为 1 到 64，而不是 70。', 'odd'])
    setLocale('en')
  })

  it('have a text for every act of the audit trail that the server writes', () => {
    const acts = [...new Set([...goOfAPI.matchAll(/"((?:session|binding|setting|account|token|rebind|store|log|profile|alert|channel|delivery|network|blocked|exception|suspicion)\.[a-z_]+)"|\baudit\(ctx, c, "([a-z_.]+)"/g)].map((m) => m[1] ?? m[2] ?? ''))]
    expect(acts.length).toBeGreaterThan(20)
    expect(acts.filter((act) => !english.has(`audit.actions.${act.replace('.', '_')}`))).toEqual([])
  })
})
