// What happens, as it happens.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { confirm, consoleTests, rowOf, settled, toast } from './browser.mjs'
import { keys, thiefIP } from './site.mjs'

const inConsole = consoleTests({ settings: { SENTINEL_SHARING_MINUTES: '1' } })

inConsole('the dashboard says whether a key is abused, and follows live', async ({ page, site }) => {
  await page.locator('.verdict', { hasText: 'refused in the last 15 minutes' }).waitFor()
  await page.locator('canvas').waitFor()
  await page.getByText('connected').waitFor()
  await site.use(keys[2], '192.0.2.200')
  await page.locator('.log li', { hasText: '192.0.2.200' }).waitFor()
  await page.getByRole('link', { name: /^Banned/ }).click()
  await page.waitForURL(/\/bindings\?status=banned/)
  await page.goBack()
  await page.getByLabel('30 d').check()
  await page.waitForURL(/range=30d/)
  await page.getByLabel('1 h', { exact: true }).check()
  await page.waitForURL(/range=1h/)
  // It has been running for less than an hour.
  await page.getByText('not recorded').waitFor()
})

inConsole('a period is chosen by dragging, stands in the address bar, and leads to its intercepts', async ({ page, site }) => {
  await page.goto(`${site.console}/dashboard?range=1h`)
  await page.locator('canvas').waitFor()
  await settled(page)
  const zoomed = page.getByRole('link', { name: 'Intercepts of this period' })
  const box = await page.locator('.chart canvas').boundingBox()
  const at = (x) => [box.x + box.width * x, box.y + box.height / 2]
  await page.mouse.move(...at(0.5))
  await page.mouse.down()
  await page.mouse.move(...at(0.7), { steps: 5 })
  await page.mouse.move(...at(0.97), { steps: 5 })
  await page.mouse.up()
  await zoomed.waitFor()
  await page.waitForURL(/since=.*until=|until=.*since=/)
  const { searchParams } = new URL(page.url())
  const minutes = (Date.parse(searchParams.get('until')) - Date.parse(searchParams.get('since'))) / 60_000
  assert.ok(minutes >= 20 && minutes <= 40, `${minutes} minutes are chosen`)
  await page.reload()
  await zoomed.click()
  await page.waitForURL((url) => /\/intercepts$/.test(url.pathname) && url.searchParams.get('since') === searchParams.get('since'))
  await page.goBack()
  await page.getByRole('button', { name: 'Reset zoom' }).click()
  await page.waitForURL((url) => !url.search.includes('since='))
  await zoomed.waitFor({ state: 'detached' })
})

inConsole('intercepts follow live, pause, filter and allow', async ({ page, site }) => {
  await page.goto(`${site.console}/intercepts?network=192.0.2.0/24`)
  await page.getByText('Live', { exact: true }).waitFor()
  await site.use(keys[4], '192.0.2.77')
  await rowOf(page, '192.0.2.77').waitFor()
  await page.keyboard.press('p')
  await site.use(keys[4], '192.0.2.78')
  await page.getByRole('button', { name: 'Resume (1 new)' }).click()
  await rowOf(page, '192.0.2.78').waitFor()
  await site.use(keys[4], '198.18.0.1') // not of this network
  assert.equal(await rowOf(page, '198.18.0.1').count(), 0)

  assert.equal(await site.use(keys[4], '192.0.2.77'), 403)
  await rowOf(page, '192.0.2.77').first().getByRole('button', { name: /Actions/ }).click()
  await page.getByRole('menuitem', { name: 'Allow this address' }).click()
  await page.getByRole('dialog', { name: 'Allow 192.0.2.77?' }).waitFor()
  await confirm(page)
  await toast(page, 'may now come from 192.0.2.77')
  assert.equal(await site.use(keys[4], '192.0.2.77'), 200)
  assert.equal((await site.bindingOf(4)).rule.kind, 'multiple')
})

inConsole('an intercept can be looked into, and leads to its key', async ({ page, site }) => {
  await page.goto(`${site.console}/intercepts`)
  await page.locator('tbody tr:not(.ghost-row)').first().locator('td').nth(2).click()
  const drawer = page.getByRole('dialog', { name: 'Intercept' })
  await drawer.getByText('Request ID').first().waitFor()
  await drawer.getByRole('link', { name: 'Only this key' }).click()
  await page.waitForURL(/hash=[0-9a-f]{64}/)
})

inConsole('a key that two use at a time is shown with the minutes, and dismissed', async ({ page, site }) => {
  const { hash, hint } = await site.bindingOf(23)
  await site.api('PATCH', `/bindings/${hash}`, { label: 'For two', rule: { kind: 'multiple', prefixes: ['192.0.2.31', '198.18.0.31'] } })
  // The two may fall into different minutes, and a minute counts when it is over.
  const both = async () => {
    for (const ip of ['192.0.2.31', '198.18.0.31']) assert.equal(await site.use(keys[23], ip), 200, hint)
  }
  const deadline = Date.now() + 100_000
  while ((await site.api('GET', '/suspicions')).total === 0) {
    assert.ok(Date.now() < deadline, 'it is not suspected')
    await both()
    await new Promise((done) => setTimeout(done, 2000))
  }
  await page.goto(`${site.console}/dashboard`)
  const card = page.locator('section', { hasText: 'Keys that look shared' })
  await card.getByText(/at a time in \d+ minutes?/).waitFor()
  await card.locator('summary').click()
  await card.locator('dd', { hasText: '192.0.2.31, 198.18.0.31' }).first().waitFor()
  await card.getByRole('button', { name: 'Dismiss For two' }).click()
  await page.getByText('hold it to one network').waitFor()
  await confirm(page)
  await toast(page, 'For two is no longer suspected')
  await card.waitFor({ state: 'detached' })
  assert.equal((await site.api('GET', '/suspicions')).total, 0)
})

inConsole('intercepts are exported as they are filtered', async ({ page, site }) => {
  const wanted = (await site.api('GET', `/logs?network=${thiefIP}&limit=500`)).items
  assert.ok(wanted.length > 1)
  await page.goto(`${site.console}/intercepts?network=${thiefIP}`)
  await rowOf(page, thiefIP).first().waitFor()
  const exported = async (kind) => {
    await page.getByRole('button', { name: 'Export' }).click()
    const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: kind, exact: true }).click()])
    return readFileSync(await file.path(), 'utf8')
  }
  const lines = (await exported('JSONL')).trim().split('\n').map((line) => JSON.parse(line))
  assert.deepEqual(lines.map((one) => [one.id, one.clientIp]).toSorted(), wanted.map((one) => [one.id, thiefIP]).toSorted())
  const [head, ...rows] = (await exported('CSV')).trim().split(/\r?\n/)
  assert.ok(head.includes('clientIp'), head)
  assert.equal(rows.length, wanted.length)
  assert.ok(rows.every((row) => row.includes(thiefIP)))
})

inConsole('a flood is not called as many as the page happens to know', async ({ page, site }) => {
  for (let n = 0; n < 210; n++) await site.use(keys[2], `198.18.100.${n}`)
  // The page is to come when all are recorded: those that come while it is open, it counts.
  for (let there = 0; there < 200; ) there = (await site.api('GET', '/logs?network=198.18.100.0/24&limit=200')).items.length
  await page.goto(`${site.console}/dashboard`)
  await page.locator('.verdict', { hasText: /\d\+ requests refused in the last 15 minutes/ }).waitFor()
  await page.locator('.verdict', { hasText: /\d\+ keys from \d+\+ addresses/ }).waitFor()
})
