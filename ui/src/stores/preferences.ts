import { defineStore } from 'pinia'
import { computed, ref, watch, watchEffect } from 'vue'
import { useMediaQuery } from '@/composables/useMediaQuery'
import { type Locale, localeOfBrowser, locales, setLocale } from '@/i18n'

export type Theme = 'system' | 'light' | 'dark'

const storageKey = 'sentinel.preferences' // boot.js reads it too

interface Kept {
  theme: Theme
  locale: Locale | null
  railFolded: boolean
  columns: Record<string, string[]>
}

function read(): Partial<Kept> {
  try {
    return JSON.parse(localStorage.getItem(storageKey) ?? '{}') as Partial<Kept>
  } catch {
    return {}
  }
}

/** What one person likes on this browser. Nothing of the server is kept here. */
export const usePreferences = defineStore('preferences', () => {
  const kept = read()
  const theme = ref<Theme>(kept.theme ?? 'system')
  const chosenLocale = ref<Locale | null>(kept.locale && locales.includes(kept.locale) ? kept.locale : null)
  const railFolded = ref(kept.railFolded ?? false)
  const columns = ref<Record<string, string[]>>(kept.columns ?? {})

  const systemDark = useMediaQuery('(prefers-color-scheme: dark)')
  const dark = computed(() => theme.value === 'dark' || (theme.value === 'system' && systemDark.value))
  const locale = computed<Locale>(() => chosenLocale.value ?? localeOfBrowser())

  watchEffect(() => document.documentElement.classList.toggle('dark', dark.value))
  watch(locale, (to) => setLocale(to), { immediate: true, flush: 'sync' })
  watch(
    [theme, chosenLocale, railFolded, columns],
    () => {
      const keep: Kept = {
        theme: theme.value,
        locale: chosenLocale.value,
        railFolded: railFolded.value,
        columns: columns.value,
      }
      try {
        localStorage.setItem(storageKey, JSON.stringify(keep))
      } catch {
        // No storage, no memory.
      }
    },
    { deep: true },
  )
  return { theme, dark, locale, chosenLocale, railFolded, columns }
})
