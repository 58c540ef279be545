import type { RouteLocationRaw } from 'vue-router'
import type { Alert } from '@/api/alerts'
import { shortPrefix } from '@/lib/ip'
import { said } from '@/i18n/said'
import { hasMessage, t, tn } from '@/i18n'

/** Whom an alert is about, and where one can look into it. */
export function subjectOf(alert: Alert): { text: string; second?: string; to?: RouteLocationRaw; mono?: boolean } {
  const { collective, hash, hint, label, network, account } = alert.subject
  if (collective) return { text: tn('alerts.collective', alert.subjects ?? 0) }
  if (hash) return { text: label || hint || hash.slice(0, 12), ...(label && hint ? { second: hint } : {}), mono: !label, to: { name: 'bindings', query: { open: hash } } }
  if (network) return { text: shortPrefix(network), mono: true, to: { name: alert.kind === 'many_bindings' ? 'bindings' : 'intercepts', query: { network } } }
  if (account) return { text: account, to: { name: 'audit' } }
  return { text: t('alerts.whole') }
}

/** What somebody who is woken by an alert can do, and where. */
export function adviceOf(alert: Alert): { text: string; to?: RouteLocationRaw; where?: string } | undefined {
  const over = alert.state === 'closed' && (alert.kind === 'store_failing' || alert.kind === 'downstream_failing')
  if (over || alert.subject.collective) return undefined
  const text = t(`alerts.advice.${alert.kind}`)
  switch (alert.kind) {
    case 'first_use_held':
    case 'many_bindings': return { text, to: { name: 'doctor' }, where: t('nav.doctor') }
    case 'login_lockout': return { text, to: { name: 'settings', query: { q: 'SENTINEL_ADMIN_NETWORKS' } }, where: t('nav.settings') }
    case 'store_failing':
    case 'downstream_failing': return { text, to: { name: 'dashboard' }, where: t('nav.dashboard') }
    default: return { text }
  }
}

/** What an alert rests on, one line each. */
export function evidenceOf(alert: Alert): string[] {
  const of = alert.evidence
  const lines: string[] = []
  const reason = `reasons.${of.reason ?? ''}`
  if (of.reason) lines.push(hasMessage(reason) ? t(reason) : of.reason)
  if (of.held) lines.push(t(`alerts.held.${of.held as 'burst'}`))
  if (of.method || of.path) lines.push(`${of.method ?? ''} ${of.path ?? ''}`.trim())
  if (of.bindings) lines.push(tn('alerts.bindings', of.bindings))
  if (of.minutes) lines.push(tn('alerts.minutes', of.minutes))
  if (of.error) lines.push(said(of.error))
  if (of.observed) lines.push(t('intercepts.observedHelp'))
  return lines
}
