import 'element-plus/es/components/base/style/css'
import './styles/tokens.css'
import './styles/element.css'
import './styles/base.css'
import { createPinia } from 'pinia'
import { createApp } from 'vue'
import { watch } from '@/api/client'
import { noteReached } from '@/composables/useConnection'
import i18n from '@/i18n'
import { router } from '@/router'
import { usePreferences } from '@/stores/preferences'
import { useSession } from '@/stores/session'
import App from './App.vue'

const app = createApp(App)
app.use(createPinia())
app.use(i18n)
usePreferences()
watch({ unauthenticated: () => useSession().expire(), reached: noteReached })

// A part of an older build that an update has taken away: the new one is a reload
// away. Where nothing answers at all, a reload would lose the page that is open.
const reloadedAt = 'sentinel.reloaded'
addEventListener('vite:preloadError', () => {
  fetch(import.meta.env.BASE_URL, { cache: 'no-store' }).then(
    () => {
      if (Date.now() - Number(sessionStorage.getItem(reloadedAt)) < 10_000) return
      sessionStorage.setItem(reloadedAt, String(Date.now()))
      location.reload()
    },
    () => noteReached(false),
  )
})

app.use(router)
app.mount('#app')
