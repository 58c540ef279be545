import { describe, expect, it, vi } from 'vitest'
import { type EffectScope, effectScope, nextTick, ref } from 'vue'
import { ApiError } from '@/api/errors'
import { type ListQuery, type Page, type Place, useList } from './useList'
import { noteReached } from './useConnection'

function inScope<T>(make: () => T): T & { scope: EffectScope } {
  const scope = effectScope()
  const made = scope.run(make)
  if (!made) throw new Error('nothing made')
  return Object.assign(made, { scope })
}
const settle = () => new Promise((done) => setTimeout(done))

describe('useList', () => {
  it('goes forward and back with cursors', async () => {
    const asked: (string | undefined)[] = []
    const list = inScope(() =>
      useList(ref({}), (_, page: ListQuery) => {
        asked.push(page.after)
        return Promise.resolve<Page<string>>({ items: [page.after ?? 'first'], next: page.after ? undefined : 'a', total: 2 })
      }),
    )
    await settle()
    expect([list.rows.value, list.total.value, list.loaded.value]).toEqual([['first'], 2, true])
    await list.forward()
    expect(list.rows.value).toEqual(['a'])
    await list.forward() // there is no further page
    await list.back()
    expect(list.rows.value).toEqual(['first'])
    expect(asked).toEqual([undefined, 'a', undefined])
    list.scope.stop()
  })

  it('begins again when the filter changes, and not when it only looks new', async () => {
    const filter = ref({ text: 'a' })
    const load = vi.fn((of: { text: string }, page: ListQuery) => Promise.resolve<Page<string>>({ items: [of.text + (page.after ?? '')], next: 'n' }))
    const list = inScope(() => useList(filter, load))
    await settle()
    await list.forward()
    filter.value = { text: 'a' }
    await settle()
    expect(load).toHaveBeenCalledTimes(2)
    filter.value = { text: 'b' }
    await settle()
    expect([list.rows.value, list.trail.value]).toEqual([['b'], [undefined]])
    list.scope.stop()
  })

  it('drops an answer that comes late', async () => {
    const filter = ref('slow')
    const answers: Record<string, (page: Page<string>) => void> = {}
    const list = inScope(() => useList(filter, (of) => new Promise<Page<string>>((done) => (answers[of] = done))))
    filter.value = 'fast'
    await nextTick()
    answers.fast?.({ items: ['fast'] })
    answers.slow?.({ items: ['slow'] })
    await settle()
    expect(list.rows.value).toEqual(['fast'])
    list.scope.stop()
  })

  it('keeps what is shown when reading fails, and reads again when the server is back', async () => {
    let fails = false
    const list = inScope(() => useList(ref({}), () => (fails ? Promise.reject(new ApiError(503, { code: 'store_unavailable' })) : Promise.resolve<Page<string>>({ items: ['kept'] }))))
    await settle()
    fails = true
    await list.reload()
    expect([list.rows.value, list.error.value?.code, list.loading.value]).toEqual([['kept'], 'store_unavailable', false])
    fails = false
    noteReached(false)
    noteReached(true)
    await settle()
    expect(list.error.value).toBeNull()
    list.scope.stop()
  })

  it('begins at the page of a link, and tells where it is', async () => {
    const asked: (string | undefined)[] = []
    const place = ref<Place>({ page: 3, after: 'b' })
    const filter = ref({ text: '' })
    const list = inScope(() =>
      useList(filter, (_, page: ListQuery) => {
        asked.push(page.after)
        if (page.after === 'bad') throw new ApiError(422, { errors: [{ location: 'query.after', message: 'is no cursor' }] })
        return Promise.resolve<Page<string>>({ items: [page.after ?? 'first'], next: 'c' })
      }, 50, place),
    )
    await settle()
    expect([list.rows.value, list.trail.value.length]).toEqual([['b'], 3])
    await list.forward()
    expect(place.value).toEqual({ page: 4, after: 'c' })
    await list.back()
    await list.back() // the page before is not known: the first one is
    expect([list.rows.value, place.value]).toEqual([['first'], { page: 1, after: undefined }])
    place.value = { page: 2, after: 'a' } // such as by the browser's button
    await settle()
    expect(list.rows.value).toEqual(['a'])
    filter.value = { text: 'x' }
    await settle()
    expect([list.rows.value, place.value.page]).toEqual([['first'], 1])
    place.value = { page: 2, after: 'bad' }
    await settle()
    expect([list.rows.value, list.error.value, place.value.page]).toEqual([['first'], null, 1])
    list.scope.stop()
  })
})
