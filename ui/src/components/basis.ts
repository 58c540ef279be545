import type { RouteLocationRaw } from 'vue-router'
import type { components } from '@/api/schema'
import { shortPrefix } from '@/lib/ip'
import { hasMessage, t } from '@/i18n'

/** What a decision rests on. */
export type Basis = components['schemas']['BasisBody']

/** What a decision rests on in words, and where one can look at it; of the key itself, its drawer is the place. */
export function basisOf(basis: Basis, hash: string): { text: string; to?: RouteLocationRaw } {
  const name = basis.name ?? ''
  switch (basis.kind) {
    case 'blocked_network': return { text: t('basis.blocked_network', { name: shortPrefix(name) }), to: { name: 'networks', query: { tab: 'blocked', text: name } } }
    case 'network': return { text: t('basis.network', { name }), to: { name: 'networks' } }
    case 'exception': return { text: t('basis.exception'), to: { name: 'networks', query: { tab: 'exceptions', hash } } }
    case 'ban': return { text: t('basis.ban') }
    default: {
      const kind = `rules.kinds.${name}`
      return { text: t('basis.rule', { name: hasMessage(kind) ? t(kind) : name }) }
    }
  }
}
