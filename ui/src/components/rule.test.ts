import { expect, it } from 'vitest'
import { draftOf, faultsOf, isComplete, ruleOf, sameRule } from './rule'

it('sends prefixes only where the kind takes them', () => {
  expect(ruleOf({ kind: 'all', prefixes: ['10.0.0.0/8'], confirmAnySource: true })).toEqual({ kind: 'all' })
  expect(ruleOf({ kind: 'multiple', prefixes: ['0.0.0.0/0'], confirmAnySource: true })).toEqual({ kind: 'multiple', prefixes: ['0.0.0.0/0'], confirmAnySource: true })
  expect(ruleOf({ kind: 'single', prefixes: ['10.0.0.0/8'], confirmAnySource: true })).toEqual({ kind: 'single', prefixes: ['10.0.0.0/8'] })
})

it('knows when a rule can be sent', () => {
  const draft = (kind: 'single' | 'multiple' | 'all', prefixes: string[], confirmAnySource = false) => isComplete({ kind, prefixes, confirmAnySource })
  expect([draft('all', []), draft('single', []), draft('single', ['a']), draft('single', ['a', 'b']), draft('multiple', []), draft('multiple', ['a'])]).toEqual([true, false, true, false, false, true])
  expect([draft('single', ['::/0']), draft('single', ['::/0'], true)]).toEqual([false, true])
})

it('keeps networks and learning of a rule, and sends them where the kind takes them', () => {
  const learn = { limit: 3, withinSeconds: 86_400, until: '2026-01-02T03:04:05Z' }
  const stored = { kind: 'learn' as const, prefixes: ['10.0.0.1/32'], networks: ['office'], learn }
  expect(ruleOf(draftOf(stored))).toEqual(stored)
  expect(ruleOf({ ...draftOf(stored), kind: 'multiple' })).toEqual({ kind: 'multiple', prefixes: ['10.0.0.1/32'], networks: ['office'] })
  expect(ruleOf({ ...draftOf(stored), kind: 'single' })).toEqual({ kind: 'single', prefixes: ['10.0.0.1/32'] })
  expect(isComplete({ kind: 'multiple', prefixes: [], networks: ['office'], confirmAnySource: false })).toBe(true)
  expect([isComplete({ ...draftOf(stored), prefixes: [] }), isComplete({ kind: 'learn', prefixes: [], confirmAnySource: false })]).toEqual([true, false])
  expect(sameRule(draftOf(stored), { ...draftOf(stored), networks: [] })).toBe(false)
})

it('compares by what would be sent', () => {
  const stored = draftOf({ kind: 'all', prefixes: [] })
  expect(sameRule(stored, { kind: 'all', prefixes: ['left over'], confirmAnySource: false })).toBe(true)
  expect(sameRule(stored, { kind: 'single', prefixes: ['10.0.0.1/32'], confirmAnySource: false })).toBe(false)
})

it('sorts faults by prefix', () => {
  const faults = [{ location: 'body.rule.prefixes[2]', message: 'x' }, { location: 'body.rule', message: 'y' }, { location: 'body.label', message: 'z' }]
  expect(faultsOf(faults, 'body.rule')).toEqual({ 2: 'x', [-1]: 'y' })
})
