// Every page, in both languages and themes: for eyes of every kind, on windows of every size.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { consoleTests, overflow, pages, settled } from './browser.mjs'

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const inConsole = consoleTests()

for (const [width, height, locale] of [[390, 844, 'en-US'], [390, 844, 'zh-CN'], [768, 1024, 'en-US'], [1280, 800, 'en-US'], [2560, 1440, 'en-US']]) {
  inConsole(`nothing runs out of the page at ${width} px, ${locale}`, async ({ page, site }) => {
    for (const name of pages) {
      await page.goto(`${site.console}/${name}`)
      await settled(page)
      assert.ok((await overflow(page)) <= 0, `${name} is ${await overflow(page)} px too wide`)
    }
    if (width > 900) return
    await page.locator('header.top button').first().click()
    await page.locator('nav a[href$="/bindings"]').click()
    await page.waitForURL(/\/bindings/)
  }, { viewport: { width, height }, locale })
}

for (const [width, height] of [[390, 844], [1280, 800]]) {
  inConsole(`nothing moves while a page loads at ${width} px`, async ({ page, site }) => {
    await page.addInitScript(() => {
      globalThis.__moved = []
      new PerformanceObserver((list) => {
        for (const one of list.getEntries()) if (!one.hadRecentInput) globalThis.__moved.push({ value: one.value, what: one.sources.map(({ node }) => node?.className ?? '').join() })
      }).observe({ type: 'layout-shift', buffered: true })
    })
    for (const name of [...pages, `bindings?open=${(await site.bindingOf(6)).hash}`]) {
      await page.goto(`${site.console}/${name}`)
      await settled(page)
      const moved = await page.evaluate(() => globalThis.__moved)
      assert.ok(moved.reduce((sum, one) => sum + one.value, 0) < 0.005, `${name}: ${JSON.stringify(moved)}`)
    }
  }, { viewport: { width, height } })
}

/** What axe finds on the page as it is now, and calls serious or critical. */
async function faults(page, where) {
  await settled(page)
  await page.evaluate(axeSource)
  const found = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'], resultTypes: ['violations'] }))
  return found.violations
    .filter((one) => ['serious', 'critical'].includes(one.impact))
    .map((one) => `${where}: ${one.id}: ${one.nodes.map((node) => `${node.target} ${node.any[0]?.message ?? ''}`).slice(0, 4).join('; ')}`)
}

for (const colorScheme of ['light', 'dark']) {
  for (const locale of ['en-US', 'zh-CN']) {
    inConsole(`axe finds nothing serious: ${colorScheme}, ${locale}`, async ({ page, site, context }) => {
      const found = []
      for (const name of [...pages, `bindings?open=${(await site.bindingOf(6)).hash}`, 'no-such-page']) {
        await page.goto(`${site.console}/${name}`)
        found.push(...(await faults(page, name)))
      }
      await page.goto(`${site.console}/bindings`)
      await settled(page)
      await page.locator('tbody input[type=checkbox]').first().click()
      await page.getByRole('toolbar').getByRole('button').first().click()
      await page.getByRole('dialog').waitFor()
      found.push(...(await faults(page, 'bulk change')))
      await page.keyboard.press('Escape')
      await page.getByRole('dialog').waitFor({ state: 'hidden' })
      await page.keyboard.press('n')
      await page.getByRole('dialog').waitFor()
      found.push(...(await faults(page, 'bind a key')))
      await page.keyboard.press('Escape')
      await page.getByRole('dialog').waitFor({ state: 'hidden' })
      await page.keyboard.press('?')
      await page.getByRole('dialog').waitFor()
      found.push(...(await faults(page, 'shortcuts')))
      await context.clearCookies()
      for (const name of ['login', 'setup?token=used-up']) {
        await page.goto(`${site.console}/${name}`)
        found.push(...(await faults(page, name)))
      }
      assert.deepEqual(found, [])
    }, { colorScheme, locale })
  }
}
