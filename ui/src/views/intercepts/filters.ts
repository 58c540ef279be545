import { computed } from 'vue'
import { useRoute } from 'vue-router'
import { type Intercept, type InterceptFilter, reasons } from '@/api/intercepts'
import { first } from '@/composables/useQuery'
import { contains, parseAddress, parsePrefix } from '@/lib/ip'
import { sinceSpan } from '@/lib/time'

export const filterNames = ['range', 'since', 'until', 'hash', 'network', 'reason', 'path'] as const
export type Filters = Record<(typeof filterNames)[number], string>

export function useFilters() {
  const route = useRoute()
  const filters = computed(() => Object.fromEntries(filterNames.map((name) => [name, first(route.query[name]) ?? ''])) as Filters)
  const filtered = computed(() => Object.values(filters.value).some((value) => value !== ''))
  const query = computed(() => apiFilter(filters.value))
  return { filters, filtered, query }
}

export function apiFilter(filters: Filters): InterceptFilter {
  const filter: InterceptFilter = {}
  const since = filters.since || sinceSpan(filters.range)
  if (since) filter.since = since
  if (filters.until) filter.until = filters.until
  if (/^[0-9a-f]{64}$/i.test(filters.hash)) filter.hash = filters.hash
  if (filters.network) filter.network = filters.network
  const reason = reasons.find((one) => one === filters.reason)
  if (reason) filter.reason = reason
  if (filters.path) filter.path = filters.path
  return filter
}

/** Whether a filter chooses a record that comes live, as the server would. */
export function matches(filter: InterceptFilter, one: Intercept): boolean {
  if (filter.hash && filter.hash.toLowerCase() !== one.hash) return false
  if (filter.reason && filter.reason !== one.reason) return false
  if (filter.path && !one.path.toLowerCase().includes(filter.path.toLowerCase())) return false
  if (filter.network) {
    const prefix = parsePrefix(filter.network)
    const address = parseAddress(one.clientIp)
    if (!prefix.ok || !address || !contains(prefix.prefix, address)) return false
  }
  return true
}
