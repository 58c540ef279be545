import { expect, it } from 'vitest'
import { fromLocalInput, isSpan, sinceSpan, spanMs, toLocalInput } from './time'

it('knows how long spans are', () => {
  expect([spanMs('15m'), spanMs('24h'), spanMs('7d')]).toEqual([900_000, 86_400_000, 604_800_000])
  expect([isSpan('7d'), isSpan('8d'), isSpan('')]).toEqual([true, false, false])
  expect(sinceSpan('1h', Date.UTC(2026, 0, 1, 1))).toBe('2026-01-01T00:00:00.000Z')
  expect(sinceSpan('never')).toBeUndefined()
})

it('turns times into fields and back', () => {
  const at = new Date(2026, 5, 7, 8, 9).toISOString()
  expect(toLocalInput(at)).toBe('2026-06-07T08:09')
  expect(fromLocalInput('2026-06-07T08:09')).toBe(at)
  expect([toLocalInput('nonsense'), toLocalInput(undefined), fromLocalInput(''), fromLocalInput('x')]).toEqual(['', '', undefined, undefined])
})
