// Language, theme, a server that is away, the weight of it all.
import assert from 'node:assert/strict'
import { consoleTests, settled } from './browser.mjs'

const inConsole = consoleTests({ count: 12 })

inConsole('the browser’s language is taken, another can be chosen and stays', async ({ page }) => {
  await page.getByRole('link', { name: '拦截记录' }).first().waitFor()
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'zh-CN')
  await page.locator('aside [data-locale]').click()
  await page.getByRole('menuitem', { name: 'English' }).click()
  await page.getByRole('link', { name: 'Intercepts' }).first().waitFor()
  await page.reload()
  await page.getByRole('link', { name: 'Intercepts' }).first().waitFor()
  assert.equal(await page.title(), 'Dashboard · Key-IP Sentinel')
}, { locale: 'zh-CN' })

inConsole('the system’s theme is followed, another can be chosen and stays', async ({ page }) => {
  // The page hears of the system's theme a moment after it has changed.
  const isDark = (want) => page.waitForFunction((w) => document.documentElement.classList.contains('dark') === w, want)
  await isDark(true)
  await page.emulateMedia({ colorScheme: 'light' })
  await isDark(false)
  await page.keyboard.press('t')
  await isDark(true)
  await page.reload()
  await isDark(true)
}, { colorScheme: 'dark' })

inConsole('a server that goes is said, and one that comes back is used', async ({ page, site }) => {
  await page.goto(`${site.console}/bindings`)
  await page.locator('tbody tr').first().waitFor()
  await site.down()
  await page.getByRole('columnheader', { name: 'Requests' }).getByRole('button').click()
  await page.getByText('Sentinel cannot be reached. Trying again').waitFor()
  await site.up()
  await page.getByText('Sentinel cannot be reached. Trying again').waitFor({ state: 'hidden' })
  await page.locator('.table-box .error').waitFor({ state: 'hidden' })
  await page.locator('tbody tr').first().waitFor()
})

inConsole('the dashboard can be used after 350 KB', async ({ page, site, context }) => {
  const cdp = await context.newCDPSession(page)
  await cdp.send('Network.enable')
  await cdp.send('Network.setCacheDisabled', { cacheDisabled: true })
  const sizes = new Map()
  const urls = new Map()
  cdp.on('Network.responseReceived', ({ requestId, response }) => urls.set(requestId, response.url))
  cdp.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => sizes.set(requestId, encodedDataLength))
  await page.goto(`${site.console}/dashboard`)
  await settled(page)
  let total = 0
  for (const [id, size] of sizes) {
    if (!/TrafficChart/.test(urls.get(id) ?? '')) total += size
  }
  assert.ok(total > 50 * 1024 && total <= 350 * 1024, `${total} bytes`)
})
