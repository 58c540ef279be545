import type { RouteLocationRaw } from 'vue-router'
import type { Alert } from '@/api/alerts'
import { shortPrefix } from '@/lib/ip'
import { said } from '@/i18n/said'
import { hasMessage, t, tn } from '@/i18n'

/** Whom an alert is about, and where one can look into it. */
export function subjectOf(alert: Alert): { text: string; to?: RouteLocationRaw; mono?: boolean } {
  const { collective, hash, hint, label, network, account } = alert.subject
  if (collective) return { text: tn('alerts.collective', alert.subjects ?? 0) }
  if (hash) return { text: label || hint || hash.slice(0, 12), mono: !label, to: { name: 'bindings', query: { open: hash } } }
  if (network) return { text: shortPrefix(network), mono: true, to: { name: 'intercepts', query: { network } } }
  if (account) return { text: account, to: { name: 'audit' } }
  return { text: t('alerts.whole') }
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
