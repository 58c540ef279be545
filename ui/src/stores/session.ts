import { defineStore } from 'pinia'
import { computed, ref } from 'vue'
import { type Me, type Role, fetchMe } from '@/api/session'
import { toApiError } from '@/api/errors'

const ranks: Record<Role, number> = { viewer: 1, operator: 2, admin: 3 }

/** Who is signed in. The session itself is a cookie that no script can read. */
export const useSession = defineStore('session', () => {
  const me = ref<Me | null>(null)
  /** The session has ended under the pages that are open: they stay as they are. */
  const ended = ref(false)
  const role = computed<Role | null>(() => me.value?.role ?? null)

  /** Whether the role is at least the one needed. The server decides again. */
  function may(needed: Role): boolean {
    return role.value !== null && ranks[role.value] >= ranks[needed]
  }

  /** Asks the server who is signed in. */
  async function load(): Promise<boolean> {
    try {
      me.value = await fetchMe()
      ended.value = false
    } catch (thrown) {
      const error = toApiError(thrown)
      if (error.status !== 401) throw error
      me.value = null
    }
    return me.value !== null
  }

  function leave(): void {
    me.value = null
    ended.value = false
  }

  function expire(): void {
    if (me.value) ended.value = true
  }

  return { me, ended, role, may, load, leave, expire }
})
