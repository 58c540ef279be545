import { type ComputedRef, computed } from 'vue'
import { type Network, listNetworks } from '@/api/networks'
import { useEvents } from './useEvents'
import { useLoad } from './useLoad'

/** The named networks, as they are at any time; undefined until they are known. */
export function useNetworks(): ComputedRef<Network[] | undefined> {
  const { value, reload } = useLoad(listNetworks)
  useEvents('network', () => void reload())
  return computed(() => value.value?.items)
}
