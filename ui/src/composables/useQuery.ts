import { type WritableComputedRef, computed } from 'vue'
import { useRoute, useRouter } from 'vue-router'

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

type Router = ReturnType<typeof useRouter>

// Several values set in one go would each start from the address before.
let pending: Record<string, string | undefined> | null = null

/** Changes values in the address bar; empty ones go. */
export function setQuery(router: Router, values: Record<string, string | undefined>): Promise<unknown> {
  if (pending) {
    Object.assign(pending, values)
    return Promise.resolve()
  }
  pending = { ...values }
  return Promise.resolve().then(() => {
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
    return router.replace({ query })
  })
}

/** The text of a query value, which may be there several times or not at all. */
export function first(value: unknown): string | undefined {
  const one: unknown = Array.isArray(value) ? value[0] : value
  return typeof one === 'string' && one !== '' ? one : undefined
}
