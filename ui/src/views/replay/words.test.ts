import { expect, test } from 'vitest'
import type { Replay } from '@/api/replay'
import { setLocale } from '@/i18n'
import { doubtsOf, sentencesOf } from './words'

const nothing: Replay = {
  since: '2026-03-01T10:00:00Z', usesSince: '2026-03-01T00:00:00Z', checked: 3, refused: 0, keys: 0, refusedThen: 0, passed: 0, passedKeys: 0, rows: [], omitted: 0,
  uncertain: { requests: 0, unrecorded: 0, elsewhere: 0, partly: 0, learning: 0, unbound: 0, dropped: 0, unknownNetworks: [] },
}

test('what would have been refused is said in both languages', () => {
  const some = { ...nothing, refused: 12, keys: 1, refusedThen: 2, passed: 1, passedKeys: 1 }
  expect(sentencesOf(nothing)).toEqual(['Nothing would have been refused.'])
  expect(sentencesOf(some)).toEqual(['12 requests of 1 key would have been refused.', '2 of them were refused then as well.', '1 request of 1 key that was refused would have passed.'])
  setLocale('zh-CN')
  expect(sentencesOf(some)[0]).toBe('1 个密钥的 12 个请求本会被拒绝。')
  setLocale('en')
})

test('of what is uncertain, only what there is', () => {
  expect(doubtsOf(nothing)).toEqual([])
  const lines = doubtsOf({ ...nothing, uncertain: { ...nothing.uncertain, learning: 4, usesFrom: '2026-03-02T00:00:00Z', unknownNetworks: ['office'] } })
  expect(lines).toHaveLength(3)
  expect(lines[0]).toContain('4 requests')
  expect(lines[1]).toContain('Mar 2, 2026')
  expect(lines[2]).toContain('office')
})
