import type { Diagnosis } from '@/api/doctor'
import { t } from '@/i18n'

/**
 * What to check, in the reader's language, most important first. How many lines the
 * server has says which of them hold; if that does not come out even, its own
 * English is shown.
 */
export function adviceOf(d: Diagnosis): string[] {
  const list = linesOf(d)
  return list.length === d.advice.length ? list : d.advice
}

function linesOf(d: Diagnosis): string[] {
  const { header } = d
  const peer = d.steps[0]?.address ?? d.peer.remoteAddr
  const ignored = d.steps.slice(1).filter((step) => !step.believed && step.what.startsWith('header ') && !(d.peer.trusted && step.what === `header ${header}`))
  const names = ignored.map((step) => step.what.slice('header '.length)).join(', ')
  const sends = names !== ''
  switch (d.errorKind) {
    case 'no_peer': return [t('doctor.tips.noPeer')]
    case 'missing': return [t('doctor.tips.set', { peer, header }), ...(sends ? [t('doctor.tips.names', { names })] : []), t('doctor.tips.takeOut', { peer })]
    case 'repeated': return [t('doctor.tips.overwrite', { peer, header })]
    case 'malformed': return [d.steps.some((step) => !step.believed && step.what === `header ${header}` && step.value.includes(',')) ? t('doctor.tips.list', { header }) : t('doctor.tips.plain', { peer, header })]
  }
  const ip = d.clientIp ?? ''
  if (!d.peer.trusted) {
    if (!sends) return d.advice.length > 0 ? [t('doctor.tips.nat', { ip })] : []
    return d.advice.length > 1 ? [t('doctor.tips.addProxy', { peer, names }), t('doctor.tips.thenSet', { header })] : [t('doctor.tips.claims', { peer, names })]
  }
  const itself = d.advice.length > (sends ? 1 : 0)
  const inside = d.steps.filter((step) => step.believed).at(-1)?.trustedBy !== undefined
  return [
    ...(itself ? [inside ? t('doctor.tips.inside', { ip }) : t('doctor.tips.oneMore', { ip })] : []),
    ...(sends ? [t('doctor.tips.alsoSends', { peer, names })] : []),
  ]
}
