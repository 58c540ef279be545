import type { Replay } from '@/api/replay'
import { format } from '@/composables/useFormat'
import { t, tn } from '@/i18n'

/** The answer in sentences, the most important one first. */
export function sentencesOf(r: Replay): string[] {
  const list: string[] = []
  if (r.refused > 0) list.push(tn('replay.refused', r.refused, { keys: tn('dashboard.verdict.keys', r.keys) }).trim())
  else list.push(t('replay.none'))
  if (r.refusedThen > 0) list.push(tn('replay.then', r.refusedThen))
  if (r.passed > 0) list.push(tn('replay.passed', r.passed, { keys: tn('dashboard.verdict.keys', r.passedKeys) }))
  return list
}

const parts = ['unrecorded', 'elsewhere', 'partly', 'learning', 'unbound', 'dropped'] as const

/** What nobody can tell, one line each. */
export function doubtsOf({ uncertain: of }: Replay): string[] {
  return [
    ...parts.filter((part) => of[part] > 0).map((part) => tn(`replay.parts.${part}`, of[part])),
    ...(of.usesFrom ? [t('replay.usesFrom', { date: dayOf(of.usesFrom) })] : []),
    ...(of.interceptsFrom ? [t('replay.interceptsFrom', { date: format.dateTime(of.interceptsFrom) })] : []),
    ...(of.unknownNetworks.length > 0 ? [t('replay.unknownNetworks', { names: of.unknownNetworks.join(', ') })] : []),
  ]
}

/** A day of UTC as a date, wherever the reader is. */
export function dayOf(start: string): string {
  return format.date(`${start.slice(0, 10)}T12:00:00`)
}
