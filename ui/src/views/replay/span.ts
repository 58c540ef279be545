import { computed } from 'vue'
import { sinceSpan } from '@/lib/time'
import { t } from '@/i18n'

/** How far back one can look: what was allowed is known for 30 days. */
export const spans = ['24h', '7d', '30d'] as const
export type Span = (typeof spans)[number]
export const spanOptions = computed(() => spans.map((value) => ({ value, label: t(`spans.short.${value}`) })))

export function sinceOf(span: Span): string {
  return sinceSpan(span) ?? new Date().toISOString()
}
