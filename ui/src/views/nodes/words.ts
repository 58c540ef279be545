import type { NodeState, PartHealth } from '@/api/nodes'
import { format } from '@/composables/useFormat'
import { t, tn } from '@/i18n'

/** A node looks once a second: a lag below this says nothing. */
const levelSeconds = 2

export interface Saying {
  text: string
  tone: 'ok' | 'warn' | 'danger' | ''
}

/** Whether a node is there, and has all changes. */
export function stateOf(of: NodeState): Saying {
  if (of.state === 'lost') return { text: t('nodes.lost'), tone: 'danger' }
  if (of.postgresql.state === 'away') return { text: t('nodes.alone'), tone: 'warn' }
  return isLevel(of) ? { text: t('nodes.here'), tone: 'ok' } : { text: t('nodes.behind'), tone: 'warn' }
}

/** How far its copy is behind, in changes and in time. */
export function lagOf(of: NodeState): string {
  if (of.postgresql.state === 'none' || of.state === 'lost') return '–'
  if (of.lagSeconds === null) return t('nodes.neverLevel')
  if (isLevel(of)) return t('nodes.level')
  const time = format.duration(of.lagSeconds)
  return of.behind > 0 ? t('nodes.lagOf', { changes: tn('nodes.changes', of.behind), time }) : time
}

/** Whether a node reaches a server; of one that is lost, nobody knows. */
export function healthOf(node: NodeState, of: PartHealth): Saying {
  if (node.state === 'lost') return { text: '–', tone: '' }
  switch (of.state) {
    case 'ok': return { text: t('nodes.answers'), tone: 'ok' }
    case 'away': return { text: t('nodes.away'), tone: 'danger' }
    default: return { text: t('nodes.unused'), tone: '' }
  }
}

function isLevel(of: NodeState): boolean {
  return of.postgresql.state === 'none' || (of.lagSeconds !== null && of.lagSeconds < levelSeconds && of.behind === 0)
}
