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

it('compares by what would be sent', () => {
  const stored = draftOf({ kind: 'all', prefixes: [] })
  expect(sameRule(stored, { kind: 'all', prefixes: ['left over'], confirmAnySource: false })).toBe(true)
  expect(sameRule(stored, { kind: 'single', prefixes: ['10.0.0.1/32'], confirmAnySource: false })).toBe(false)
})

it('sorts faults by prefix', () => {
  const faults = [{ location: 'body.rule.prefixes[2]', message: 'x' }, { location: 'body.rule', message: 'y' }, { location: 'body.label', message: 'z' }]
  expect(faultsOf(faults, 'body.rule')).toEqual({ 2: 'x', [-1]: 'y' })
})
