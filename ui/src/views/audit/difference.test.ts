import { expect, it } from 'vitest'
import { differences, summaryOf } from './difference'

it('shows the fields in which two values differ', () => {
  expect(differences({ status: 'active', rule: { kind: 'single', prefixes: ['a'] }, label: 'x' }, { status: 'banned', rule: { kind: 'multiple', prefixes: ['a', 'b'] }, label: 'x' })).toEqual([
    { field: 'status', before: 'active', after: 'banned' },
    { field: 'rule.kind', before: 'single', after: 'multiple' },
    { field: 'rule.prefixes', before: 'a', after: 'a\nb' },
  ])
})

it('shows records of a list one a line', () => {
  expect(differences(undefined, { networks: [{ prefix: 'a', note: 'n' }, { prefix: 'b', note: '' }] })).toEqual([{ field: 'networks', after: 'prefix a, note n\nprefix b' }])
})

it('says in one line what changed', () => {
  expect(summaryOf({ label: 'x', rule: { prefixes: ['a'] } }, { label: 'y', rule: { prefixes: ['a', 'b'] } })).toBe('label: x → y · rule.prefixes: a → a, b')
  expect([summaryOf(undefined, { hash: '00', prefix: 'p' }), summaryOf({ note: 'n' }, undefined), summaryOf(null, null)]).toEqual(['prefix: p', 'note: n → –', ''])
})

it('shows all of what was made or is gone', () => {
  expect(differences(undefined, { role: 'admin', disabled: false })).toEqual([{ field: 'role', after: 'admin' }, { field: 'disabled', after: 'false' }])
  expect(differences(null, undefined)).toEqual([])
})
