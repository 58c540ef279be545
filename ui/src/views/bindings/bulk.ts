import type { BindingRow, BulkRequest } from '@/api/bindings'
import { type RuleDraft, ruleOf } from '@/components/rule'
import { contains, parseAddress, parsePrefix } from '@/lib/ip'

export type BulkAct = 'ban' | 'unban' | 'unbind' | 'label' | 'rule'

/** What is done to each. */
export function doing(act: BulkAct, label: string, rule: RuleDraft): Pick<BulkRequest, 'act' | 'edit'> {
  switch (act) {
    case 'label': return { act: 'edit', edit: { label: label.trim() } }
    case 'rule': return { act: 'edit', edit: { rule: ruleOf(rule) } }
    default: return { act }
  }
}

/** How many were last used from an address that a rule does not have. */
export function leftOut(rows: BindingRow[], rule: RuleDraft): number {
  // What networks have, and what is learned, only the server knows.
  if (rule.kind === 'all' || rule.kind === 'learn' || rule.networks.length > 0) return 0
  const prefixes = rule.prefixes.map(parsePrefix)
  return rows.filter((row) => {
    const address = row.usage.lastIp ? parseAddress(row.usage.lastIp) : null
    return address && !prefixes.some((parsed) => parsed.ok && contains(parsed.prefix, address))
  }).length
}
