export type RuleKind = 'single' | 'multiple' | 'learn' | 'all'

/** How a rule learns. until is absent before the first use. */
export interface Learning {
  limit: number
  withinSeconds: number
  until?: string
}

/** A rule as the API has it. */
export interface Rule {
  kind: RuleKind
  prefixes?: string[] | null
  networks?: string[]
  learn?: Learning
}

/** A rule while it is edited. What other kinds would use stays while one looks at them. */
export interface RuleDraft {
  kind: RuleKind
  prefixes: string[]
  networks: string[]
  learn: Learning
  confirmAnySource: boolean
}

/** A named network that rules can have. */
export interface KnownNetwork {
  name: string
  prefixCount: number
}

export const maxLearnLimit = 64

export function emptyDraft(kind: RuleKind): RuleDraft {
  return { kind, prefixes: [], networks: [], learn: { limit: 3, withinSeconds: 86_400 }, confirmAnySource: false }
}

export function draftOf(rule: Rule): RuleDraft {
  const empty = emptyDraft(rule.kind)
  const prefixes = [...(rule.prefixes ?? [])]
  return {
    ...empty, prefixes, networks: [...(rule.networks ?? [])], learn: rule.learn ? { ...rule.learn } : empty.learn,
    confirmAnySource: prefixes.some((p) => p.endsWith('/0')),
  }
}

/** What is sent: only what the kind takes. */
export function ruleOf(draft: RuleDraft): Rule & { prefixes?: string[]; confirmAnySource?: boolean } {
  if (draft.kind === 'all') return { kind: 'all' }
  const any = draft.confirmAnySource && draft.prefixes.some((p) => p.endsWith('/0'))
  return {
    kind: draft.kind, prefixes: draft.prefixes,
    ...(takesNetworks(draft.kind) && draft.networks.length > 0 ? { networks: draft.networks } : {}),
    ...(draft.kind === 'learn' ? { learn: draft.learn } : {}),
    ...(any ? { confirmAnySource: true } : {}),
  }
}

export function takesNetworks(kind: RuleKind): boolean {
  return kind === 'multiple' || kind === 'learn'
}

/** The same rule with one more prefix. */
export function widened(rule: Rule, prefix: string): ReturnType<typeof ruleOf> {
  const draft = draftOf(rule)
  draft.prefixes.push(prefix)
  if (draft.kind === 'single') draft.kind = 'multiple'
  if (draft.kind === 'learn' && draft.prefixes.length > draft.learn.limit) {
    if (draft.prefixes.length > maxLearnLimit) draft.kind = 'multiple'
    else draft.learn.limit = draft.prefixes.length
  }
  return ruleOf(draft)
}

/** Whether a draft has what its kind needs; the server decides the rest. */
export function isComplete(draft: RuleDraft): boolean {
  if (draft.kind === 'all') return true
  if (draft.prefixes.some((p) => p.endsWith('/0')) && !draft.confirmAnySource) return false
  const { limit, withinSeconds } = draft.learn
  switch (draft.kind) {
    case 'single': return draft.prefixes.length === 1
    case 'multiple': return draft.prefixes.length + draft.networks.length > 0
    default: return Number.isInteger(limit) && limit >= Math.max(1, draft.prefixes.length) && limit <= maxLearnLimit && withinSeconds >= 1
  }
}

export function sameRule(a: RuleDraft, b: RuleDraft): boolean {
  return JSON.stringify(ruleOf(a)) === JSON.stringify(ruleOf(b))
}

/** How far the learning of a rule is, at a time in milliseconds. */
export function learning(rule: Rule, now: number): 'none' | 'waiting' | 'open' | 'full' | 'closed' {
  if (rule.kind !== 'learn' || !rule.learn) return 'none'
  if ((rule.prefixes ?? []).length >= rule.learn.limit) return 'full'
  if (!rule.learn.until) return 'waiting'
  return new Date(rule.learn.until).getTime() > now ? 'open' : 'closed'
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
