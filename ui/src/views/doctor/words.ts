import type { Diagnosis, Step } from '@/api/doctor'
import { shortPrefix } from '@/lib/ip'
import { t } from '@/i18n'

/** What a step looked at: the peer, a header, or a hop of one. */
export function whatOf(step: Step): string {
  if (step.what === 'peer') return t('doctor.peer')
  const hop = /^hop (\d+) of (.+)$/.exec(step.what)
  if (hop) return t('doctor.hop', { n: hop[1] ?? '', header: hop[2] ?? '' })
  return t('doctor.header', { name: headerOf(step) })
}

/** Why a step had a say in the result, or none. */
export function whyOf(d: Diagnosis, step: Step): string {
  const ip = step.address ?? ''
  const by = step.trustedBy ? shortPrefix(step.trustedBy) : ''
  const isHop = step.what.startsWith('hop ')
  if (step.what === 'peer') {
    if (!step.believed) return t('doctor.why.noPeer')
    return by ? t('doctor.why.trusted', { ip, by, header: d.header }) : t('doctor.why.client', { ip })
  }
  if (step.believed) {
    if (!isHop) return t('doctor.why.single', { ip })
    if (!by) return t('doctor.why.stop', { ip })
    // A proxy that is taken for the client has nobody left of it.
    return ip === d.clientIp && step === d.steps.filter((one) => one.believed).at(-1) ? t('doctor.why.allTrusted', { ip, by }) : t('doctor.why.skipped', { ip, by })
  }
  if (isHop) return t('doctor.why.hopUnreadable')
  if (step.what === 'headers') return t('doctor.why.more', { n: /\d+/.exec(step.why)?.[0] ?? '' })
  if (!d.peer.trusted) return t('doctor.why.anybody')
  if (headerOf(step) !== d.header) return t('doctor.why.other', { header: d.header })
  switch (d.errorKind) {
    case 'missing': return t('doctor.why.missing')
    case 'repeated': return t('doctor.why.repeated')
    default: return t('doctor.why.unreadable')
  }
}

function headerOf(step: Step): string {
  return step.what.replace(/^headers? ?/, '')
}
