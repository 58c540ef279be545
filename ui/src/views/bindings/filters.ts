import { computed } from 'vue'
import { useRoute } from 'vue-router'
import type { BindingFilter, BindingQuery } from '@/api/bindings'
import { first } from '@/composables/useQuery'
import { sinceSpan } from '@/lib/time'

/** The filters as the address bar has them; a span stays one, so that a link stays true. */
export const filterNames = ['text', 'network', 'status', 'rule', 'used', 'idle', 'created', 'hits', 'returned'] as const
export type FilterName = (typeof filterNames)[number]
export type Filters = Record<FilterName, string>

export const sorts = ['created', 'lastUsed', 'hits', 'hint', 'label'] as const
type Sort = (typeof sorts)[number]

export function useFilters() {
  const route = useRoute()
  const filters = computed(() => Object.fromEntries(filterNames.map((name) => [name, first(route.query[name]) ?? ''])) as Filters)
  const sort = computed<Sort>(() => sorts.find((one) => one === first(route.query.sort)) ?? 'created')
  const order = computed<'asc' | 'desc'>(() => (first(route.query.order) === 'asc' ? 'asc' : 'desc'))
  const query = computed<Omit<BindingQuery, 'limit' | 'after'>>(() => ({ ...apiFilter(filters.value), sort: sort.value, order: order.value }))
  const filtered = computed(() => Object.values(filters.value).some((value) => value !== ''))
  return { filters, sort, order, query, filtered }
}

/** What the server is asked for. */
export function apiFilter(filters: Filters): BindingFilter {
  const filter: BindingFilter = {}
  if (filters.text) filter.text = filters.text
  if (filters.network) filter.network = filters.network
  if (filters.status === 'active' || filters.status === 'banned') filter.status = filters.status
  if (filters.rule === 'single' || filters.rule === 'multiple' || filters.rule === 'all' || filters.rule === 'learn') filter.rule = filters.rule
  const usedSince = sinceSpan(filters.used)
  if (usedSince) filter.usedSince = usedSince
  const idleSince = sinceSpan(filters.idle)
  if (idleSince) filter.idleSince = idleSince
  const createdSince = sinceSpan(filters.created)
  if (createdSince) filter.createdSince = createdSince
  // "Never used again" is what was made more than a day ago.
  if (filters.hits === 'once') {
    filter.hitsBelow = 2
    const dayAgo = sinceSpan('24h')
    if (dayAgo) filter.createdBefore = dayAgo
  }
  if (filters.returned === 'yes') filter.returned = true
  return filter
}
