import { type Ref, computed } from 'vue'
import type { Column } from '@/components/table'
import { usePreferences } from '@/stores/preferences'
import { useMediaQuery } from './useMediaQuery'

/** The columns that the reader wants to see, and the keys of the optional ones among them. */
export function useColumns(table: string, columns: Ref<Column[]>) {
  const preferences = usePreferences()
  const wide = useMediaQuery('(min-width: 1800px)')
  const shown = computed(() => preferences.columns[table] ?? columns.value.filter((c) => c.optional && !(c.off === 'narrow' ? !wide.value : c.off)).map((c) => c.key))
  return { columns: computed(() => columns.value.filter((c) => !c.optional || shown.value.includes(c.key))), shown }
}
