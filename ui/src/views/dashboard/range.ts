import type { Dashboard, Period } from '@/api/dashboard'
import type { ChartPoint } from './TrafficChart.vue'

export const ranges = ['1h', '6h', '24h', '7d', '30d'] as const
export type Range = (typeof ranges)[number]

const hourMs = 3_600_000

/** The steps of a range, oldest first, and how long each is. */
export function stepsOf(board: Dashboard, range: Range): { points: ChartPoint[]; stepMs: number } {
  switch (range) {
    case '24h': return { points: board.hours.slice(-24), stepMs: hourMs }
    case '7d': return { points: board.days.slice(-7), stepMs: 24 * hourMs }
    case '30d': return { points: board.days, stepMs: 24 * hourMs }
    default: return {
      points: (board.series?.points ?? []).map((p) => ({ at: p.at, allowed: null, intercepted: null, bound: null, ...p.counts })),
      stepMs: (board.series?.stepSeconds ?? 60) * 1000,
    }
  }
}

/** The sums of a range, and of the one before it. */
export function periodOf(board: Dashboard, range: Range): Period | undefined {
  return { '1h': board.series?.period, '6h': board.series?.period, '24h': board.last24Hours, '7d': board.last7Days, '30d': board.last30Days }[range]
}
