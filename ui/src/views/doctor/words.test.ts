import { expect, test } from 'vitest'
import type { Diagnosis, Step } from '@/api/doctor'
import { whatOf, whyOf } from './words'

const peer: Step = { what: 'peer', value: '10.0.0.1:1', believed: true, why: '', address: '10.0.0.1', trustedBy: '10.0.0.0/8' }
const of = (more: Partial<Diagnosis>, ...steps: Step[]): Diagnosis => ({
  peer: { remoteAddr: '10.0.0.1:1', trusted: true }, trustedProxies: ['10.0.0.0/8'], header: 'X-Forwarded-For', whatIf: false, forwarding: [], otherHeaders: [], advice: [], steps: [peer, ...steps], ...more,
})
const hop = (n: number, address: string, trustedBy?: string): Step => ({ what: `hop ${n} of X-Forwarded-For`, value: address, believed: true, why: '', address, ...(trustedBy ? { trustedBy } : {}) })

test('hops are followed from the right to the first that nobody trusts', () => {
  const d = of({ clientIp: '203.0.113.9' }, hop(1, '10.0.0.3', '10.0.0.0/8'), hop(2, '203.0.113.9'))
  expect(d.steps.map((step) => whatOf(step))).toEqual(['Peer of the connection', 'Hop 1 of X-Forwarded-For', 'Hop 2 of X-Forwarded-For'])
  expect(whyOf(d, d.steps[0] as Step)).toContain('trusted proxy (10.0.0.0/8)')
  expect(whyOf(d, d.steps[1] as Step)).toContain('skipped')
  expect(whyOf(d, d.steps[2] as Step)).toContain('it is the client IP')
})

test('a proxy with nobody left of it is the client', () => {
  const d = of({ clientIp: '10.0.0.4' }, hop(1, '10.0.0.3', '10.0.0.0/8'), hop(2, '10.0.0.4', '10.0.0.0/8'))
  expect(whyOf(d, d.steps[1] as Step)).toContain('skipped')
  expect(whyOf(d, d.steps[2] as Step)).toContain('nobody left of it')
})

test('what counted for nothing says why', () => {
  const wrong: Step = { what: 'header X-Forwarded-For', value: '', believed: false, why: '' }
  const d = of({ errorKind: 'missing' }, wrong)
  expect(whyOf(d, wrong)).toBe('It is missing, and there is no second choice.')
  expect(whyOf(of({ errorKind: 'repeated' }, wrong), wrong)).toContain('more than once')
  expect(whyOf(of({ errorKind: 'malformed' }, wrong), wrong)).toContain('no plain address')
  expect(whyOf(of({ peer: { remoteAddr: '', trusted: false } }, wrong), wrong)).toContain('anybody')
  expect(whyOf(d, { ...wrong, what: 'header X-Real-Ip' })).toContain('Only X-Forwarded-For is read')
  expect(whyOf(d, { ...wrong, what: 'headers', why: 'and 7 more forwarding headers' })).toContain('7')
})
