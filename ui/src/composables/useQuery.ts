import { type WritableComputedRef, computed } from 'vue'
import { useRoute, useRouter } from 'vue-router'
import type { Place } from './useList'

/** One value in the address bar. Setting it adds no step to the history. */
export function useQueryValue(name: string, fallback = ''): WritableComputedRef<string> {
  const route = useRoute()
  const router = useRouter()
  return computed({
    get: () => first(route.query[name]) ?? fallback,
    set: (value) => {
      void setQuery(router, { [name]: value === fallback ? undefined : value })
    },
  })
}

/** The page of a list in the address bar, for useList. */
export function usePlace(): WritableComputedRef<Place> {
  const route = useRoute()
  const router = useRouter()
  return computed({
    get: () => {
      const [page, after] = [Number(first(route.query.page)), first(route.query.after)]
      return after && Number.isInteger(page) && page > 1 ? { page, after } : { page: 1, after: undefined }
    },
    set: ({ page, after }) => {
      void setQuery(router, { page: after ? String(page) : undefined, after })
    },
  })
}

type Router = ReturnType<typeof useRouter>

// Several values set in one go would each start from the address before, and so
// would those that are set while one goes there.
let pending: Record<string, string | undefined> | null = null
let going: Promise<unknown> = Promise.resolve()

/** Changes values in the address bar; empty ones go. */
export function setQuery(router: Router, values: Record<string, string | undefined>): Promise<unknown> {
  if (pending) {
    Object.assign(pending, values)
    return Promise.resolve()
  }
  pending = { ...values }
  return (going = going.then(() => {
    const query: Record<string, string> = {}
    for (const [name, value] of Object.entries(router.currentRoute.value.query)) {
      const text = first(value)
      if (text) query[name] = text
    }
    for (const [name, value] of Object.entries(pending ?? {})) {
      if (value) query[name] = value
      else Reflect.deleteProperty(query, name)
    }
    pending = null
    return router.replace({ query }).catch(() => undefined) // another page is on its way
  }))
}

/** The text of a query value, which may be there several times or not at all. */
export function first(value: unknown): string | undefined {
  const one: unknown = Array.isArray(value) ? value[0] : value
  return typeof one === 'string' && one !== '' ? one : undefined
}
