// A real browser against the real program, for the tests of one file.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { chromium } from 'playwright-core'
import { onPath } from './path.mjs'
import { Site, password } from './site.mjs'

/** The browser: CHROMIUM says which; else the first of the usual names. */
function executable() {
  const found = process.env.CHROMIUM ?? onPath('chromium', 'chromium-browser', 'google-chrome')
  if (!found) throw new Error('missing: chromium, which the tests of the console drive: apt-get install chromium')
  return found
}

export async function launch(more = []) {
  return chromium.launch({ executablePath: executable(), args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', ...more] })
}

/** A browser of one person. What the page complains of is gathered. */
export async function person(browser, site, { locale = 'en-US', colorScheme = 'light', viewport = { width: 1440, height: 900 } } = {}) {
  const context = await browser.newContext({ locale, colorScheme, viewport, timezoneId: 'Europe/Berlin', reducedMotion: 'reduce' })
  const page = await context.newPage()
  page.setDefaultTimeout(60_000) // a busy machine is no fault of the page
  const complaints = []
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  const foreign = []
  page.on('request', (request) => {
    if (!request.url().startsWith(site.url) && !/^(data|blob):/.test(request.url())) foreign.push(request.url())
  })
  return { context, page, complaints, foreign }
}

export async function signIn(page, site, name = 'admin', secret = password) {
  await page.goto(`${site.console}/login`)
  await page.locator('input[name=username]').fill(name)
  await page.locator('input[name=password]').fill(secret)
  await page.locator('button[type=submit]').click()
  await page.waitForURL(/\/dashboard/)
}

/**
 * Starts a site and a browser for the tests of this file. What it returns makes a
 * test with a window of its own, signed in, which must complain of nothing and
 * ask nothing of other hosts.
 */
export function consoleTests({ settings, count = 24 } = {}) {
  let browser, site
  before(async () => {
    browser = await launch()
    site = await Site.start({ settings })
    await site.fill(count)
  }, { timeout: 240_000 })
  after(async () => {
    await browser?.close()
    await site?.stop()
  })
  return function inConsole(name, act, { stranger = false, ...looks } = {}) {
    test(name, { timeout: 400_000 }, async () => {
      const who = await person(browser, site, looks)
      try {
        if (!stranger) await signIn(who.page, site)
        await act({ ...who, browser, site })
        const complaints = who.complaints.filter((one) => !/Failed to load resource|ERR_CONNECTION|ERR_INCOMPLETE/.test(one))
        assert.deepEqual(complaints, [], 'the page complains')
        assert.deepEqual(who.foreign, [], 'requests leave the site')
      } finally {
        await who.context.close()
      }
    })
  }
}

export const rowOf = (page, text) => page.locator('tbody tr', { hasText: text })
export const toast = (page, text) => page.locator('.toast', { hasText: text }).last().waitFor()
export const confirm = (page) => page.locator('[data-confirm]:visible').click()

/** Waits until nothing is on its way: no list that loads, no chart to come, nothing that moves. */
export async function settled(page) {
  await page.locator('h1').waitFor()
  await page.waitForFunction(
    () =>
      !document.querySelector('[aria-busy=true], .skeleton, .chart-box:empty') &&
      document.fonts.status === 'loaded' &&
      document.getAnimations().every((one) => one.playState !== 'running'),
  )
}

/** How many pixels the page is wider than the window. */
export function overflow(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
}

/** Every page behind the sign-in. */
export const pages = ['dashboard', 'bindings', 'intercepts', 'alerts', 'alerts?tab=channels', 'alerts?tab=deliveries', 'networks', 'networks?tab=blocked', 'networks?tab=exceptions', 'archive', 'replay', 'ip-doctor', 'ip-doctor?of=described', 'settings', 'accounts', 'tokens', 'audit', 'nodes', 'about', 'profile']
