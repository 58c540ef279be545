import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { ApiError } from './errors'
import { address, editBinding, importBindings } from './bindings'
import { compact, send, watch } from './client'
import { changeSettings } from './settings'

const seen = { unauthenticated: 0, reached: [] as boolean[] }
let request: Request
function answer(status: number, body: unknown, headers: Record<string, string> = {}) {
  vi.stubGlobal('fetch', (given: Request) => {
    request = given
    return Promise.resolve(new Response(body === undefined ? null : JSON.stringify(body), { status, headers: { 'Content-Type': 'application/json', ...headers } }))
  })
}

beforeEach(() => {
  seen.unauthenticated = 0
  seen.reached = []
  watch({ unauthenticated: () => seen.unauthenticated++, reached: (ok) => seen.reached.push(ok) })
})
afterEach(() => vi.unstubAllGlobals())

const fail = async (act: Promise<unknown>): Promise<ApiError> => {
  try {
    await act
  } catch (thrown) {
    if (thrown instanceof ApiError) return thrown
  }
  throw new Error('no ApiError')
}

describe('the client', () => {
  it('says that it is the console, and which revision it has read', async () => {
    answer(200, {})
    await editBinding('ab'.repeat(32), { label: 'x' }, 7)
    expect([request.method, request.headers.get('X-Sentinel-Console'), request.headers.get('If-Match')]).toEqual(['PATCH', '1', '"7"'])
    expect(new URL(request.url).pathname).toBe(`/admin/api/bindings/${'ab'.repeat(32)}`)
    expect(await request.json()).toEqual({ label: 'x' })
  })

  it('sends null for a setting that is taken back', async () => {
    answer(200, {})
    await changeSettings({ SENTINEL_MODE: null })
    expect(await request.json()).toEqual({ values: { SENTINEL_MODE: null } })
  })

  it('sends a file as it is', async () => {
    answer(200, {})
    await importBindings(new Blob(['hash\n']), { format: 'csv', onConflict: 'skip', dryRun: true, confirmAnySource: false })
    expect([await request.text(), request.headers.get('Content-Type'), new URL(request.url).search]).toEqual(['hash\n', 'text/csv', '?format=csv&onConflict=skip&dryRun=true'])
  })

  it('makes a problem an error, with its fields and when to try again', async () => {
    answer(422, { code: 'invalid', detail: 'faults', errors: [{ location: 'body.rule.prefixes[1]', message: 'is none' }] }, { 'Retry-After': '30' })
    const error = await fail(send(new Request('http://localhost/x')))
    expect([error.status, error.code, error.retryAfter, error.field('body.rule'), error.field('body.ru')]).toEqual([422, 'invalid', 30, 'is none', undefined])
  })

  it('tells of a session that is over, but not of a wrong password', async () => {
    answer(401, { code: 'wrong_login' })
    await fail(send(new Request('http://localhost/x')))
    expect(seen.unauthenticated).toBe(0)
    answer(401, { code: 'session_over' })
    await fail(send(new Request('http://localhost/x')))
    expect(seen.unauthenticated).toBe(1)
  })

  it('tells of a server that cannot be reached, also behind a proxy that answers', async () => {
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('no connection')))
    expect((await fail(send(new Request('http://localhost/x')))).code).toBe('unreachable')
    vi.stubGlobal('fetch', () => Promise.resolve(new Response('<html>', { status: 502 })))
    expect((await fail(send(new Request('http://localhost/x')))).status).toBe(502)
    answer(500, {})
    await fail(send(new Request('http://localhost/x')))
    expect(seen.reached).toEqual([false, false, true])
  })
})

it('leaves empty fields out of a query', () => {
  expect(compact({ a: '', b: undefined, c: false, d: 0, e: 'x' })).toEqual({ d: 0, e: 'x' })
  expect(address('/x', { text: 'a b&c' })).toBe('/x?text=a+b%26c')
})
