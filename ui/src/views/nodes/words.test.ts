import { describe, expect, it } from 'vitest'
import type { NodeState } from '@/api/nodes'
import { healthOf, lagOf, stateOf } from './words'

const node = (change: Partial<NodeState> = {}): NodeState => ({
  id: 'a', name: 'a', self: true, state: 'here', seenAt: '', leader: true, version: '', address: '', startedAt: '', position: 9, behind: 0, lagSeconds: 0.4, waiting: 0,
  postgresql: { state: 'ok' }, redis: { state: 'ok' }, ...change,
})

describe('nodes', () => {
  it('says how a node stands', () => {
    const said = (change: Partial<NodeState>) => [stateOf(node(change)).text, stateOf(node(change)).tone, lagOf(node(change))]
    expect(said({})).toEqual(['Here', 'ok', 'level'])
    expect(said({ behind: 3, lagSeconds: 75 })).toEqual(['Behind', 'warn', '3 changes, 1 min 15 sec'])
    expect(said({ lagSeconds: 9 })).toEqual(['Behind', 'warn', '9 sec'])
    expect(said({ lagSeconds: null })).toEqual(['Behind', 'warn', 'never level yet'])
    expect(said({ postgresql: { state: 'away' }, lagSeconds: 60 })).toEqual(['On its own', 'warn', '1 min'])
    expect(said({ state: 'lost' })).toEqual(['Lost', 'danger', '–'])
    expect(said({ postgresql: { state: 'none' }, lagSeconds: null })).toEqual(['Here', 'ok', '–'])
    expect((['ok', 'away', 'none'] as const).map((state) => healthOf(node(), { state }).text)).toEqual(['answers', 'away', 'not used'])
    expect(healthOf(node({ state: 'lost' }), { state: 'ok' })).toEqual({ text: '–', tone: '' })
  })
})
