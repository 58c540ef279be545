import { expect, test } from 'vitest'
import type { BindingRow } from '@/api/bindings'
import { emptyDraft } from '@/components/rule'
import { doing, leftOut } from './bulk'

const rule = (kind: 'single' | 'multiple' | 'all', ...prefixes: string[]) => ({ ...emptyDraft(kind), prefixes })
const row = (lastIp?: string) => ({ usage: { lastIp } }) as BindingRow

test('an act is sent with what it needs, and nothing else', () => {
  expect(doing('ban', 'label', rule('all'))).toEqual({ act: 'ban' })
  expect(doing('label', ' label ', rule('all'))).toEqual({ act: 'edit', edit: { label: 'label' } })
  expect(doing('rule', 'label', rule('single', '10.0.0.0/8'))).toEqual({ act: 'edit', edit: { rule: { kind: 'single', prefixes: ['10.0.0.0/8'] } } })
})

test('those are counted that a rule would refuse where they are used', () => {
  const rows = [row('10.1.2.3'), row('192.0.2.1'), row('::ffff:10.1.2.3'), row('2001:db8::1'), row(undefined)]
  expect(leftOut(rows, rule('single', '10.0.0.0/8'))).toBe(2)
  expect(leftOut(rows, rule('multiple', '10.0.0.0/8', '2001:db8::/32'))).toBe(1)
  expect(leftOut(rows, rule('all'))).toBe(0)
})
