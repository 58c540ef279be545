import { type Ref, computed } from 'vue'
import type { Column } from '@/components/table'
import { usePreferences } from '@/stores/preferences'

/** The columns that the reader wants to see. */
export function useColumns(table: string, columns: Ref<Column[]>): Ref<Column[]> {
  const preferences = usePreferences()
  return computed(() => {
    const wanted = preferences.columns[table]
    return columns.value.filter((c) => !c.optional || (wanted ? wanted.includes(c.key) : !c.off))
  })
}
