import type { Rule } from '@/api/bindings'

export type RuleKind = Rule['kind']

/** A rule while it is edited. */
export interface RuleDraft {
  kind: RuleKind
  prefixes: string[]
  networks?: string[]
  /** How it learns, with when that is over: without, learning would begin anew. */
  learn?: Rule['learn']
  confirmAnySource: boolean
}

export function draftOf(rule: Pick<Rule, 'kind' | 'networks' | 'learn'> & { prefixes: string[] | null }): RuleDraft {
  const prefixes = rule.prefixes ?? []
  return {
    kind: rule.kind, prefixes: [...prefixes], confirmAnySource: prefixes.some((p) => p.endsWith('/0')),
    ...(rule.networks ? { networks: [...rule.networks] } : {}), ...(rule.learn ? { learn: { ...rule.learn } } : {}),
  }
}

/** What is sent: prefixes, networks and learning only where the kind takes them. */
export function ruleOf(draft: RuleDraft): { kind: RuleKind; prefixes?: string[]; networks?: string[]; learn?: NonNullable<Rule['learn']>; confirmAnySource?: boolean } {
  if (draft.kind === 'all') return { kind: 'all' }
  const any = draft.confirmAnySource && draft.prefixes.some((p) => p.endsWith('/0'))
  return {
    kind: draft.kind, prefixes: draft.prefixes, ...(any ? { confirmAnySource: true } : {}),
    ...(draft.kind !== 'single' && draft.networks?.length ? { networks: draft.networks } : {}),
    ...(draft.kind === 'learn' && draft.learn ? { learn: draft.learn } : {}),
  }
}

/** Whether a draft has what its kind needs; the server decides the rest. */
export function isComplete(draft: RuleDraft): boolean {
  if (draft.kind === 'all') return true
  if (draft.prefixes.some((p) => p.endsWith('/0')) && !draft.confirmAnySource) return false
  if (draft.kind === 'learn') return draft.learn !== undefined
  return draft.kind === 'single' ? draft.prefixes.length === 1 : draft.prefixes.length + (draft.networks?.length ?? 0) > 0
}

export function sameRule(a: RuleDraft, b: RuleDraft): boolean {
  return JSON.stringify(ruleOf(a)) === JSON.stringify(ruleOf(b))
}

/** Sorts the server's faults of a rule by the prefix that they are about. */
export function faultsOf(fields: { location: string; message: string }[], at: string): Record<number, string> {
  const faults: Record<number, string> = {}
  for (const { location, message } of fields) {
    if (!location.startsWith(at)) continue
    const index = /prefixes\[(\d+)\]/.exec(location)?.[1]
    faults[index === undefined ? -1 : Number(index)] ??= message
  }
  return faults
}
