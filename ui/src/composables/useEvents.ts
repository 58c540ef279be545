import { onScopeDispose, ref } from 'vue'

/** The types of events that the server sends; see getEvents of the API. */
const types = ['intercept', 'binding', 'setting', 'alert', 'network', 'blocked', 'exception', 'lagged'] as const
export type EventType = (typeof types)[number]

type Listener = (data: unknown) => void

const listeners = new Map<EventType, Set<Listener>>()
const live = ref(false)
let source: EventSource | undefined
let retry: ReturnType<typeof setTimeout> | undefined

function open(): void {
  source = new EventSource('/admin/api/events')
  source.onopen = () => (live.value = true)
  source.onerror = () => {
    live.value = false
    // The browser tries again by itself after a broken connection, but gives up
    // after an answer that is no stream.
    if (source?.readyState === EventSource.CLOSED) {
      clearTimeout(retry)
      retry = setTimeout(() => {
        if (listeners.size > 0) open()
      }, 5000)
    }
  }
  for (const type of types) {
    source.addEventListener(type, (event: MessageEvent<string>) => {
      const data: unknown = JSON.parse(event.data)
      for (const listener of listeners.get(type) ?? []) listener(dataOf(data))
    })
  }
}

/** An event may come in its envelope, or as its data alone. */
function dataOf(event: unknown): unknown {
  if (event && typeof event === 'object' && 'data' in event && 'type' in event) return event.data
  return event
}

function close(): void {
  clearTimeout(retry)
  source?.close()
  source = undefined
  live.value = false
}

/** Listens to events of one type for as long as the component lives. All share one stream. */
export function useEvents(type: EventType, listener: Listener): typeof live {
  const of = listeners.get(type) ?? new Set<Listener>()
  of.add(listener)
  listeners.set(type, of)
  if (!source) open()
  onScopeDispose(() => {
    of.delete(listener)
    if (of.size === 0) listeners.delete(type)
    if (listeners.size === 0) close()
  })
  return live
}
