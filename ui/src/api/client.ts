import createClient from 'openapi-fetch'
import { ApiError, readProblem } from './errors'
import type { paths } from './schema'

/** What the rest of the console wants to know of every answer. */
interface Watcher {
  /** The session is over. */
  unauthenticated(): void
  /** Whether Sentinel could be reached. */
  reached(ok: boolean): void
}

let watcher: Watcher = { unauthenticated: () => undefined, reached: () => undefined }

export function watch(by: Watcher): void {
  watcher = by
}

// A form of another site cannot send this header; the server takes no change by
// cookie without it.
export const consoleHeader = { 'X-Sentinel-Console': '1' }

/** The codes of a 401 that do not mean that a session is over. */
const loginCodes = new Set(['wrong_login', 'second_factor_needed', 'wrong_code'])

/** fetch as the console uses it: with the session, and errors as ApiError. */
export async function send(request: Request): Promise<Response> {
  let response: Response
  try {
    response = await fetch(request)
  } catch (cause) {
    if (request.signal.aborted) throw cause
    watcher.reached(false)
    throw new ApiError(0, {})
  }
  // What a proxy in front answers while Sentinel is away.
  watcher.reached(response.status !== 502 && response.status !== 504)
  if (response.ok) return response
  const error = await readProblem(response)
  if (error.status === 401 && !loginCodes.has(error.code)) watcher.unauthenticated()
  throw error
}

/** The typed client; every path and type comes from the server's own document. */
export const api = createClient<paths>({
  baseUrl: globalThis.location?.origin ?? 'http://localhost',
  credentials: 'same-origin',
  headers: consoleHeader,
  fetch: send,
})

/** The body of an answer. send has thrown where there is none. */
export async function body<T>(answer: Promise<{ data?: T; error?: unknown }>): Promise<T> {
  const { data } = await answer
  return data as T
}

/** If-Match for a revision that was read. */
export function ifMatch(revision: number): { 'If-Match': string } {
  return { 'If-Match': `"${revision}"` }
}

/** A query without its empty fields. */
export function compact<T extends object>(query: T): T {
  return Object.fromEntries(
    Object.entries(query).filter(([, value]) => value !== undefined && value !== '' && value !== null && value !== false),
  ) as T
}
