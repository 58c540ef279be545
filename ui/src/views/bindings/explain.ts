import type { Explanation } from '@/api/bindings'
import { shortPrefix } from '@/lib/ip'
import { t } from '@/i18n'

/** Why a key passes from an address or does not: a sentence or two. */
export function reasonsOf(x: Explanation): string[] {
  const name = x.basis?.name ?? ''
  switch (x.basis?.kind) {
    case 'ban': return [t('explain.ban')]
    case 'exception': return [t('explain.exception')]
    case 'blocked_network': return [t('explain.blocked', { name: shortPrefix(name) })]
    case 'network': return [t('explain.network', { name })]
  }
  if (x.reason) return [t('explain.outside'), ...(x.missing?.length ? [t('explain.missing', { names: x.missing.join(', ') })] : [])]
  if (x.held) return [t(`alerts.held.${x.held}`), x.bound ? t('explain.learnsNothing') : t('explain.bindsNothing')]
  if (x.learns) return [t('explain.learns', { prefix: shortPrefix(x.prefix ?? ''), n: x.rule?.prefixes.length ?? 0, limit: x.rule?.learn?.limit ?? 0 })]
  if (!x.bound) return [t('explain.binds')]
  return [x.rule?.kind === 'all' ? t('explain.anywhere') : t('explain.prefix')]
}

/** What would become of the next request, in a sentence. */
export function verdictOf(x: Explanation): string {
  if (x.observed) return t('explain.observed')
  return x.passes ? t('explain.passes') : t('explain.refused')
}
