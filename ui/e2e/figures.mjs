// What the console weighs, and how long one waits for it: npm run figures [bindings].
// Quiet machines only; the tests hold what does not depend on that.
import { performance } from 'node:perf_hooks'
import { launch, person, settled, signIn } from './browser.mjs'
import { Site } from './site.mjs'

const many = Number(process.argv[2] ?? 1_000_000)
const rounds = 5
const results = []
const tell = (what, value, limit = '') => {
  results.push([what, value, limit])
  console.log(`${what.padEnd(58)} ${String(value).padStart(14)}  ${limit}`)
}
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)]
const ms = (value) => `${Math.round(value)} ms`
const kb = (value) => `${(value / 1024).toFixed(1)} KiB`

/** Loads the dashboard with nothing in the cache, and returns what that took. */
async function coldLoad(browser, site) {
  const { context, page } = await person(browser, site, { viewport: { width: 1280, height: 800 } })
  await signIn(page, site)
  await page.goto('about:blank')
  const cdp = await context.newCDPSession(page)
  await cdp.send('Network.enable')
  await cdp.send('Network.clearBrowserCache')
  await cdp.send('Network.setCacheDisabled', { cacheDisabled: true })
  const urls = new Map()
  const weights = { usable: 0, charts: 0, usableScript: 0 }
  cdp.on('Network.responseReceived', ({ requestId, response }) => urls.set(requestId, response.url))
  cdp.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
    const url = urls.get(requestId) ?? ''
    if (/TrafficChart/.test(url)) return void (weights.charts += encodedDataLength)
    weights.usable += encodedDataLength
    if (/\.js$/.test(url)) weights.usableScript += encodedDataLength
  })
  await page.addInitScript(() => {
    const seen = (globalThis.__seen = { lcp: 0, cls: 0, blocked: 0 })
    const watch = (type, each) => new PerformanceObserver((list) => list.getEntries().forEach(each)).observe({ type, buffered: true })
    watch('largest-contentful-paint', (one) => (seen.lcp = one.startTime))
    watch('layout-shift', (one) => (seen.cls += one.hadRecentInput ? 0 : one.value))
    watch('longtask', (one) => (seen.blocked += Math.max(0, one.duration - 50)))
  })
  await page.goto(`${site.console}/dashboard`)
  await page.locator('.tiles .value').first().waitFor()
  const usable = await page.evaluate(() => performance.now())
  await settled(page)
  const seen = await page.evaluate(() => ({ ...globalThis.__seen, fcp: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0 }))
  await context.close()
  return { ...weights, ...seen, usable_at: usable }
}

/** How long from a key or a click until the rows that it asked for are painted. */
async function untilPainted(page, act) {
  await page.evaluate(() => {
    globalThis.__painted = new Promise((done) => {
      const table = document.querySelector('.table-box')
      let was = false
      const look = () => {
        if (table.getAttribute('aria-busy') === 'true') was = true
        else if (was) {
          observer.disconnect()
          requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now())))
        }
      }
      const observer = new MutationObserver(look)
      observer.observe(table, { attributes: true, subtree: true, childList: true })
    })
    const begin = () => (globalThis.__began = performance.now())
    addEventListener('keydown', begin, { capture: true, once: true })
    addEventListener('click', begin, { capture: true, once: true })
  })
  await act()
  return page.evaluate(async () => (await globalThis.__painted) - globalThis.__began)
}

async function heapOf(cdp) {
  await cdp.send('HeapProfiler.collectGarbage')
  const { metrics } = await cdp.send('Performance.getMetrics')
  return metrics.find((one) => one.name === 'JSHeapUsedSize').value
}

const browser = await launch()
const site = await Site.start()
await site.fill()

const loads = []
for (let i = 0; i < rounds; i++) loads.push(await coldLoad(browser, site))
const middle = (name) => median(loads.map((one) => one[name]))
tell('dashboard usable, cold cache: bytes, compressed', kb(middle('usable')), '350 KiB')
tell('  of them script', kb(middle('usableScript')))
tell('charts, which follow', kb(middle('charts')))
tell('first contentful paint', ms(middle('fcp')))
tell('largest contentful paint', ms(middle('lcp')))
tell('figures are there', ms(middle('usable_at')))
tell('total blocking time', ms(middle('blocked')))
tell('cumulative layout shift', middle('cls').toFixed(3), '0.1')

{
  const { context, page } = await person(browser, site)
  await signIn(page, site)
  const cdp = await context.newCDPSession(page)
  await cdp.send('Performance.enable')
  const again = {
    // What polls asks at once when the page is seen again.
    dashboard: () => page.evaluate(() => document.dispatchEvent(new Event('visibilitychange'))),
    bindings: () => page.getByRole('columnheader', { name: 'Requests' }).getByRole('button').click(),
  }
  for (const [name, act] of Object.entries(again)) {
    await page.goto(`${site.console}/${name}`)
    await settled(page)
    const refresh = async (times) => {
      for (let i = 0; i < times; i++) await Promise.all([page.waitForResponse((one) => new URL(one.url()).pathname === `/admin/api/${name}`), act()])
    }
    await refresh(500) // what is kept once, and what V8 makes of code that is hot, is there by then
    const before = await heapOf(cdp)
    await refresh(500)
    const after = await heapOf(cdp)
    tell(`heap of ${name} after 500 refreshes, over before`, `${after > before ? '+' : ''}${kb(after - before)}`, `of ${kb(before)}`)
  }
  await context.close()
}

if (many > 0) {
  await site.down()
  const began = performance.now()
  site.age(many, 30, 1)
  console.log(`(${many} bindings made in ${Math.round((performance.now() - began) / 1000)} s)`)
  await site.up()
  await site.api('GET', '/bindings?limit=1')
  const { context, page } = await person(browser, site)
  await signIn(page, site)
  await page.goto(`${site.console}/bindings`)
  await settled(page)
  const box = page.locator('[data-search]')
  const hint = (await site.api('GET', '/bindings?limit=1&sort=created')).items[0].hint
  const typed = async (text) => {
    await box.fill(text)
    return untilPainted(page, () => box.press('Enter'))
  }
  const measured = async (what, act, reset) => {
    const times = []
    for (let i = 0; i < rounds; i++) {
      times.push(await act(i))
      await reset?.()
      await settled(page)
    }
    tell(`${what}, ${many.toLocaleString('en')} bindings`, `${ms(median(times))} (max ${Math.round(Math.max(...times))})`, '300 ms')
  }
  const clear = () => untilPainted(page, () => page.getByRole('button', { name: 'Clear', exact: true }).click())
  await measured('filter: text of a label, typed until painted', () => typed('data team'), clear)
  await measured('filter: text that nothing has', (i) => typed(`nothing like this ${i}`), clear)
  await measured('filter: a hint', () => typed(hint), clear)
  await measured('filter: an address', () => typed('203.0.113.10'), () => page.goto(`${site.console}/bindings`))
  await measured('filter: a CIDR', () => typed('203.0.112.0/20'), () => page.goto(`${site.console}/bindings`))
  const menu = async (filter, name) => {
    await page.locator('.toolbar').getByRole('button', { name: filter }).first().click()
    const item = page.getByRole('menuitem', { name, exact: true })
    await item.waitFor()
    return untilPainted(page, () => item.click())
  }
  const menus = {
    Status: ['Banned', 'Active'], 'Allowed from': ['One network', 'Several networks', 'Learning', 'Anywhere'], Used: ['last hour', 'last 24 hours', 'last 30 days'],
    Idle: ['for 7 days', 'for 30 days', 'for 90 days'], Bound: ['last hour', 'last 24 hours', 'last 30 days'],
  }
  for (const [filter, names] of Object.entries(menus)) {
    for (const name of names) await measured(`filter: ${filter} ${name}`, () => menu(filter, name), () => page.goto(`${site.console}/bindings`))
  }
  for (const head of ['Requests', 'Last used', 'Bound', 'Key']) {
    await measured(`order: by ${head}`, () => untilPainted(page, () => page.getByRole('columnheader', { name: head }).getByRole('button').click()))
  }
  await context.close()
}
await browser.close()
await site.stop()
if (process.env.FIGURES_JSON) (await import('node:fs')).writeFileSync(process.env.FIGURES_JSON, JSON.stringify(results, null, 2))
