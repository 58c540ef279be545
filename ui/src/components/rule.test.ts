import { expect, it } from 'vitest'
import { type Rule, type RuleDraft, type RuleKind, draftOf, emptyDraft, faultsOf, isComplete, learning, ruleOf, sameRule, widened } from './rule'

const draft = (kind: RuleKind, prefixes: string[] = [], more: Partial<RuleDraft> = {}): RuleDraft => ({ ...emptyDraft(kind), prefixes, ...more })

it('sends only what the kind takes', () => {
  const more = { networks: ['office'], learn: { limit: 2, withinSeconds: 60 }, confirmAnySource: true }
  expect(ruleOf(draft('all', ['10.0.0.0/8'], more))).toEqual({ kind: 'all' })
  expect(ruleOf(draft('multiple', ['0.0.0.0/0'], more))).toEqual({ kind: 'multiple', prefixes: ['0.0.0.0/0'], networks: ['office'], confirmAnySource: true })
  expect(ruleOf(draft('single', ['10.0.0.0/8'], more))).toEqual({ kind: 'single', prefixes: ['10.0.0.0/8'] })
  expect(ruleOf(draft('learn', [], more))).toEqual({ kind: 'learn', prefixes: [], networks: ['office'], learn: { limit: 2, withinSeconds: 60 } })
})

it('loses nothing of a rule that is edited', () => {
  const rules: Rule[] = [
    { kind: 'all' }, { kind: 'single', prefixes: ['10.0.0.1/32'] }, { kind: 'multiple', prefixes: [], networks: ['office', 'vpn'] },
    { kind: 'learn', prefixes: ['10.0.0.1/32'], networks: ['office'], learn: { limit: 4, withinSeconds: 7200, until: '2026-11-26T12:00:00Z' } },
  ]
  for (const rule of rules) expect(ruleOf(draftOf(rule))).toEqual(rule)
})

it('widens a rule by a prefix, and keeps the rest', () => {
  expect(widened({ kind: 'single', prefixes: ['a'] }, 'b')).toEqual({ kind: 'multiple', prefixes: ['a', 'b'] })
  expect(widened({ kind: 'multiple', prefixes: ['a'], networks: ['office'] }, 'b')).toEqual({ kind: 'multiple', prefixes: ['a', 'b'], networks: ['office'] })
  const learn = { limit: 1, withinSeconds: 60, until: '2026-11-26T12:00:00Z' }
  expect(widened({ kind: 'learn', prefixes: ['a'], learn }, 'b')).toEqual({ kind: 'learn', prefixes: ['a', 'b'], learn: { ...learn, limit: 2 } })
  expect(learn.limit).toBe(1)
  const many = Array.from({ length: 64 }, (_, i) => `p${i}`)
  expect(widened({ kind: 'learn', prefixes: many, networks: ['office'], learn: { ...learn, limit: 64 } }, 'b')).toEqual({ kind: 'multiple', prefixes: [...many, 'b'], networks: ['office'] })
})

it('knows when a rule can be sent', () => {
  const complete = (...args: Parameters<typeof draft>) => isComplete(draft(...args))
  expect([complete('all'), complete('single'), complete('single', ['a']), complete('single', ['a', 'b']), complete('multiple'), complete('multiple', ['a'])]).toEqual([true, false, true, false, false, true])
  expect([complete('single', ['::/0']), complete('single', ['::/0'], { confirmAnySource: true })]).toEqual([false, true])
  expect([complete('single', [], { networks: ['office'] }), complete('multiple', [], { networks: ['office'] })]).toEqual([false, true])
  const limit = (limit: number) => ({ learn: { limit, withinSeconds: 60 } })
  expect([complete('learn'), complete('learn', ['a', 'b'], limit(1)), complete('learn', [], limit(0)), complete('learn', [], limit(65)), complete('learn', [], limit(1.5))]).toEqual([true, false, false, false, false])
})

it('compares by what would be sent', () => {
  const stored = draftOf({ kind: 'all', prefixes: [] })
  expect(sameRule(stored, draft('all', ['left over']))).toBe(true)
  expect(sameRule(stored, draft('single', ['10.0.0.1/32']))).toBe(false)
})

it('tells how far learning is', () => {
  const at = Date.parse('2026-11-26T12:00:00Z')
  const rule = (prefixes: string[], until?: string): Rule => ({ kind: 'learn', prefixes, learn: { limit: 2, withinSeconds: 60, ...(until ? { until } : {}) } })
  expect([
    learning({ kind: 'all' }, at), learning(rule([]), at), learning(rule(['a'], '2026-11-26T12:00:01Z'), at), learning(rule(['a'], '2026-11-26T11:59:59Z'), at),
    learning(rule(['a', 'b'], '2026-11-26T12:00:01Z'), at),
  ]).toEqual(['none', 'waiting', 'open', 'closed', 'full'])
})

it('sorts faults by prefix', () => {
  const faults = [{ location: 'body.rule.prefixes[2]', message: 'x' }, { location: 'body.rule', message: 'y' }, { location: 'body.label', message: 'z' }]
  expect(faultsOf(faults, 'body.rule')).toEqual({ 2: 'x', [-1]: 'y' })
})
