import { expect, test } from 'vitest'
import type { Diagnosis, Step } from '@/api/doctor'
import { setLocale } from '@/i18n'
import { adviceOf } from './advice'

const step = (what: string, value: string, believed: boolean, trustedBy?: string): Step => ({ what, value, believed, why: '', address: value, ...(trustedBy ? { trustedBy } : {}) })
const of = (trusted: boolean, lines: number, more: Partial<Diagnosis>, ...steps: Step[]): Diagnosis => ({
  peer: { remoteAddr: '10.0.0.1:1', trusted }, trustedProxies: [], header: 'X-Real-IP', whatIf: false, forwarding: [], otherHeaders: [], advice: Array.from({ length: lines }, () => 'said by the server'),
  steps: [step('peer', '10.0.0.1', true, trusted ? '10.0.0.0/8' : undefined), ...steps], ...more,
})
const forwarded = step('header X-Forwarded-For', '203.0.113.9', false)

test('advice is in the language of the reader, and about what was found', () => {
  const cases: [Diagnosis, RegExp[]][] = [
    [of(true, 3, { errorKind: 'missing' }, step('header X-Real-IP', '', false), forwarded), [/10\.0\.0\.1.*X-Real-IP/, /X-Forwarded-For/, /TRUSTED_PROXY_IPS/]],
    [of(true, 1, { errorKind: 'malformed' }, step('header X-Real-IP', '1.1.1.1, 2.2.2.2', false)), [/SENTINEL_REAL_IP_HEADER=X-Forwarded-For/]],
    [of(false, 2, { clientIp: '10.0.0.1' }, forwarded), [/TRUSTED_PROXY_IPS/, /X-Real-IP/]],
    [of(false, 1, { clientIp: '10.0.0.1' }), [/SENTINEL_PROXY_PROTOCOL/]],
    [of(true, 1, { clientIp: '203.0.113.9' }, step('header X-Real-IP', '203.0.113.9', true), forwarded), [/X-Forwarded-For/]],
    [of(true, 1, { clientIp: '10.0.0.9' }, step('header X-Real-IP', '10.0.0.9', true, '10.0.0.0/8')), [/TRUSTED_PROXY_IPS/]],
  ]
  for (const [diagnosis, wanted] of cases) {
    setLocale('zh-CN')
    const lines = adviceOf(diagnosis)
    expect(lines).toHaveLength(wanted.length)
    for (const [i, line] of lines.entries()) {
      expect(line).toMatch(wanted[i] as RegExp)
      expect(line).toMatch(/[\u4e00-\u9fff]/)
    }
    setLocale('en')
    expect(adviceOf(diagnosis).join()).not.toMatch(/[\u4e00-\u9fff]|said by the server/)
  }
})

test('what cannot be told from the steps is shown as the server says it', () => {
  expect(adviceOf(of(true, 4, { clientIp: '203.0.113.9' }))).toEqual(Array.from({ length: 4 }, () => 'said by the server'))
})
