import { createRouter, createWebHistory } from 'vue-router'
import type { Role } from '@/api/session'
import { useSession } from '@/stores/session'
import { type MessageKey, t } from '@/i18n'

declare module 'vue-router' {
  interface RouteMeta {
    title: MessageKey
    /** Pages without one are for everybody, and have no navigation. */
    role?: Role
  }
}

export const router = createRouter({
  history: createWebHistory(import.meta.env.BASE_URL),
  scrollBehavior: (to, from, saved) => saved ?? (to.path === from.path ? false : { top: 0 }),
  routes: [
    { path: '/', redirect: { name: 'dashboard' } },
    { path: '/login', name: 'login', component: () => import('@/views/login/LoginView.vue'), meta: { title: 'login.title' } },
    { path: '/setup', name: 'setup', component: () => import('@/views/setup/SetupView.vue'), meta: { title: 'setup.title' } },
    { path: '/dashboard', name: 'dashboard', component: () => import('@/views/dashboard/DashboardView.vue'), meta: { title: 'nav.dashboard', role: 'viewer' } },
    { path: '/bindings', name: 'bindings', component: () => import('@/views/bindings/BindingsView.vue'), meta: { title: 'nav.bindings', role: 'viewer' } },
    { path: '/intercepts', name: 'intercepts', component: () => import('@/views/intercepts/InterceptsView.vue'), meta: { title: 'nav.intercepts', role: 'viewer' } },
    { path: '/alerts', name: 'alerts', component: () => import('@/views/alerts/AlertsView.vue'), meta: { title: 'nav.alerts', role: 'viewer' } },
    { path: '/networks', name: 'networks', component: () => import('@/views/networks/NetworksView.vue'), meta: { title: 'nav.networks', role: 'viewer' } },
    { path: '/archive', name: 'archive', component: () => import('@/views/archive/ArchiveView.vue'), meta: { title: 'nav.archive', role: 'viewer' } },
    { path: '/replay', name: 'replay', component: () => import('@/views/replay/ReplayView.vue'), meta: { title: 'replay.title', role: 'viewer' } },
    { path: '/ip-doctor', name: 'doctor', component: () => import('@/views/doctor/DoctorView.vue'), meta: { title: 'nav.doctor', role: 'viewer' } },
    { path: '/settings', name: 'settings', component: () => import('@/views/settings/SettingsView.vue'), meta: { title: 'nav.settings', role: 'viewer' } },
    { path: '/accounts', name: 'accounts', component: () => import('@/views/accounts/AccountsView.vue'), meta: { title: 'nav.accounts', role: 'admin' } },
    { path: '/tokens', name: 'tokens', component: () => import('@/views/tokens/TokensView.vue'), meta: { title: 'nav.tokens', role: 'admin' } },
    { path: '/audit', name: 'audit', component: () => import('@/views/audit/AuditView.vue'), meta: { title: 'nav.audit', role: 'admin' } },
    { path: '/nodes', name: 'nodes', component: () => import('@/views/nodes/NodesView.vue'), meta: { title: 'nav.nodes', role: 'viewer' } },
    { path: '/about', name: 'about', component: () => import('@/views/about/AboutView.vue'), meta: { title: 'nav.about', role: 'viewer' } },
    { path: '/profile', name: 'profile', component: () => import('@/views/profile/ProfileView.vue'), meta: { title: 'nav.profile', role: 'viewer' } },
    { path: '/:rest(.*)', name: 'missing', component: () => import('@/views/MissingView.vue'), meta: { title: 'missing.title', role: 'viewer' } },
  ],
})

router.beforeEach(async (to) => {
  const session = useSession()
  if (!to.meta.role) return true
  if (!session.me && !(await session.load())) {
    return { name: 'login', query: to.fullPath === '/dashboard' ? {} : { next: to.fullPath } }
  }
  return session.may(to.meta.role) ? true : { name: 'missing', params: { rest: to.path.slice(1) } }
})

/** What the title bar says. */
export function titleOf(key: MessageKey): string {
  return `${t(key)} · Key-IP Sentinel`
}
