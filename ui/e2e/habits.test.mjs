// Language, theme, a server that is away, the weight of it all.
import assert from 'node:assert/strict'
import { consoleTests, pages, settled, toast } from './browser.mjs'

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
  await page.locator('.table-box .error').getByText('What is shown may be old').waitFor()
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

inConsole('assets are compressed and kept for ever, and the page that names them is not', async ({ page, site }) => {
  const seen = new Map()
  page.on('response', (response) => seen.set(new URL(response.url()).pathname, response))
  await page.goto(`${site.console}/dashboard`)
  await settled(page)
  const headers = async (response) => ({ kept: response.headers()['cache-control'], encoding: (await response.allHeaders())['content-encoding'] })
  const assets = [...seen].filter(([path]) => /\/assets\/.*\.(js|css)$/.test(path))
  assert.ok(assets.length > 3)
  for (const [path, response] of assets) {
    if (response.fromServiceWorker() || response.status() === 304) continue
    const { kept, encoding } = await headers(response)
    assert.match(kept, /max-age=31536000.*immutable/, path)
    const size = Number((await response.allHeaders())['content-length'])
    assert.ok(encoding === 'gzip' || encoding === 'br' || size < 1024, `${path} is not compressed`)
  }
  const index = await page.request.get(`${site.console}/`)
  assert.match(index.headers()['cache-control'], /no-cache|no-store/)
  const policy = index.headers()['content-security-policy']
  assert.match(policy, /script-src 'self'(;|$)/)
  assert.match(policy, /frame-ancestors 'none'/)
  assert.doesNotMatch(policy, /unsafe/)
  assert.deepEqual([index.headers()['x-content-type-options'], index.headers()['referrer-policy']], ['nosniff', 'no-referrer'])
})

inConsole('nothing jumps while a page comes', async ({ page, site }) => {
  const measured = {}
  for (const name of pages) {
    await page.goto(`${site.console}/${name}`)
    await settled(page)
    measured[name] = await page.evaluate(
      () =>
        new Promise((done) => {
          let sum = 0
          new PerformanceObserver((list) => {
            for (const shift of list.getEntries()) if (!shift.hadRecentInput) sum += shift.value
          }).observe({ type: 'layout-shift', buffered: true })
          // What is buffered is told within the next frames.
          requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => done(sum), 100)))
        }),
    )
  }
  assert.deepEqual(Object.entries(measured).filter(([, shift]) => shift > 0.1), [])
})

inConsole('what one looks at stands in the address bar', async ({ page, site }) => {
  const again = async (what) => {
    await page.reload()
    await what.waitFor()
  }
  await page.goto(`${site.console}/dashboard`)
  await page.getByLabel('7 d').check()
  await page.getByLabel('Networks', { exact: true }).check()
  await page.waitForURL(/range=7d/)
  await again(page.locator('label.on', { hasText: 'Networks' }))
  assert.match(page.url(), /range=7d.*top=networks|top=networks.*range=7d/)

  await page.goto(`${site.console}/intercepts`)
  await page.locator('tbody tr:not(.ghost-row)').nth(1).press('Enter')
  await page.waitForURL(/open=\d+/)
  const record = page.getByRole('dialog', { name: 'Intercept' })
  const path = await record.locator('dd.mono', { hasText: 'POST' }).textContent()
  await again(record.getByText(path.trim()))
  await page.keyboard.press('Escape')
  await page.waitForURL((url) => !url.search.includes('open='))
  // One that is on no page that is shown is found by its number.
  await page.goto(`${site.console}/intercepts?open=1&range=15m`)
  await record.getByText('Request ID').waitFor()
  await page.goto(`${site.console}/intercepts?open=999999`)
  await toast(page, 'not there any more')
  await page.waitForURL((url) => !url.search.includes('open='))

  // So does the page of a long list; one that is none begins at the first.
  for (let i = 0; i < 52; i++) await site.api('POST', '/networks', { name: `n${i}`, prefixes: [`10.7.${i}.0/24`] })
  await page.goto(`${site.console}/audit?action=network.`)
  await page.getByRole('button', { name: 'Next page' }).click()
  await page.waitForURL(/page=2/)
  await again(page.getByText(/^51–5\d/))
  await page.getByRole('button', { name: 'Previous page' }).click()
  await page.waitForURL((url) => !url.searchParams.has('page'))
  await page.getByText(/^1–50/).waitFor()
  await page.goto(`${site.console}/audit?page=7&after=none`)
  await page.getByText(/^1–50/).waitFor()
  await page.waitForURL((url) => !url.searchParams.has('page'))

  await page.goto(`${site.console}/audit`)
  await page.locator('tbody tr:not(.ghost-row)').first().press('Enter')
  await page.waitForURL(/open=\d+/)
  await again(page.getByRole('dialog').getByText('Request ID'))
  await page.goto(`${site.console}/alerts?tab=deliveries`)
  await again(page.locator('label.on', { hasText: 'Deliveries' }))
})

inConsole('the focus goes back to where a dialog was opened', async ({ page, site }) => {
  for (const [path, name] of [['bindings', 'Bind a key'], ['bindings', 'Import'], ['networks?tab=blocked', 'Block'], ['tokens', 'Create token'], ['accounts', 'Add account']]) {
    await page.goto(`${site.console}/${path}`)
    await settled(page)
    const button = page.locator('main').getByRole('button', { name, exact: true }).first()
    await button.focus()
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').locator('input:focus, textarea:focus, select:focus, .el-dialog:focus, button:focus').first().waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'hidden' })
    assert.equal(await button.evaluate((one) => one === document.activeElement), true, `${path}: ${name}`)
  }
})

inConsole('a form that is refused keeps what was typed, and says why', async ({ page, site }) => {
  await site.api('POST', '/networks', { name: 'taken', prefixes: ['192.0.2.0/24'] })
  await page.goto(`${site.console}/networks`)
  await page.getByRole('button', { name: 'Add network' }).click()
  const form = page.getByRole('dialog', { name: 'Add a network' })
  await form.locator('input[name=network]').fill('taken')
  await form.locator('textarea').fill('198.51.100.0/24')
  await form.getByRole('button', { name: 'Add network' }).click()
  await form.getByRole('alert').filter({ hasText: 'That name is taken' }).waitFor()
  await form.locator('input[name=network]').fill('No Good')
  await form.getByRole('button', { name: 'Add network' }).click()
  await form.locator('.field-error').waitFor()
  assert.deepEqual([await form.locator('input[name=network]').inputValue(), await form.locator('textarea').inputValue()], ['No Good', '198.51.100.0/24'])
})

inConsole('the server’s faults are said in Chinese', async ({ page, site }) => {
  await page.goto(`${site.console}/networks`)
  await page.getByRole('button', { name: '添加网络' }).click()
  const form = page.getByRole('dialog', { name: '添加网络' })
  await form.locator('input[name=network]').fill('No Good')
  await form.locator('textarea').fill('198.51.100.0/24')
  await form.getByRole('button', { name: '添加网络' }).click()
  await form.locator('.field-error', { hasText: '大写' }).waitFor()
  await form.locator('input[name=network]').fill('nested')
  await form.locator('textarea').fill('198.51.100.0/24\n198.51.100.7/32')
  await form.getByRole('button', { name: '添加网络' }).click()
  await toast(page, '198.51.100.7/32 已包含在 198.51.100.0/24 中')
}, { locale: 'zh-CN' })

inConsole('what is long can be copied, and times are exact when one points at them', async ({ page, site, context }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write'])
  const { hash, usage } = await site.bindingOf(1)
  await page.goto(`${site.console}/bindings?open=${hash}`)
  await page.locator('.el-drawer').getByRole('button', { name: /^Copy/ }).first().click()
  await page.locator('.el-drawer [role=status]', { hasText: 'Copied' }).waitFor()
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), hash)
  const time = page.locator('.el-drawer time').first()
  assert.equal(await time.getAttribute('datetime'), usage.lastUsed)
  // Berlin in winter, as the browser of these tests is set.
  assert.match(await time.getAttribute('title'), /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} UTC\+0[12]:00$/)
})
