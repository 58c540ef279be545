// Everything goes without a mouse, and one sees where one is.
import assert from 'node:assert/strict'
import { consoleTests, pages, settled, toast } from './browser.mjs'
import { keys } from './site.mjs'

const inConsole = consoleTests({ count: 12 })

/** What has the focus, for people: its name, and whether it can be seen that it has it. */
function focused(page) {
  return page.evaluate(() => {
    const one = document.activeElement
    if (!one || one === document.body) return null
    one.setAttribute('data-walked', '')
    const shows = (element) => {
      const style = element && getComputedStyle(element)
      return !!style && ((style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== 'none')
    }
    const box = one.getBoundingClientRect()
    return {
      name: (one.getAttribute('aria-label') || one.labels?.[0]?.textContent || one.textContent || one.getAttribute('name') || one.tagName).trim(),
      // A control that is drawn by its label shows the focus there.
      seen: shows(one) || shows(one.closest('label')),
      inside: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
      id: one.tagName + ' ' + one.className,
    }
  })
}

/** Goes on with Tab until what is wanted has the focus. */
async function tabTo(page, wanted, key = 'Tab') {
  for (let i = 0; i < 150; i++) {
    const at = await focused(page)
    if (at && wanted.test(at.name)) return
    await page.keyboard.press(key)
  }
  assert.fail(`Tab does not lead to ${wanted}`)
}

inConsole('Tab leads everywhere on every page, and shows where it is', async ({ page, site }) => {
  for (const name of pages) {
    await page.goto(`${site.console}/${name}`)
    await settled(page)
    await page.evaluate(() => document.activeElement?.blur())
    let steps = 0
    for (; steps < 400; steps++) {
      await page.keyboard.press('Tab')
      const at = await focused(page)
      if (!at) break
      assert.ok(at.seen, `${name}: the focus does not show on “${at.name}” (${at.id})`)
      assert.ok(at.inside, `${name}: “${at.name}” (${at.id}) has the focus outside of the window`)
    }
    assert.ok(steps < 400, `${name}: Tab never comes to an end`)
    const missed = await page.evaluate(() =>
      [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')]
        .filter((one) => !one.hasAttribute('data-walked') && !one.disabled && one.checkVisibility({ visibilityProperty: true }) && !one.closest('[inert]'))
        // Of radio buttons, one of each group is a stop; arrows do the rest.
        .filter((one) => one.type !== 'radio' || !document.querySelector(`input[type=radio][name="${one.name}"][data-walked]`))
        .map((one) => one.outerHTML.slice(0, 120)),
    )
    assert.deepEqual(missed, [], `${name}: not reached`)
  }
})

inConsole('shortcuts lead, open and close', async ({ page }) => {
  const help = page.getByRole('dialog', { name: 'Keyboard shortcuts' })
  // At once, as a busy page may take longer over the first than two seconds.
  const both = (...keys) => Promise.all(keys.map((key) => page.keyboard.press(key)))
  await page.keyboard.press('?')
  await help.waitFor()
  await page.keyboard.press('Escape')
  await help.waitFor({ state: 'hidden' })
  for (const [key, path] of [['b', 'bindings'], ['i', 'intercepts'], ['l', 'alerts'], ['n', 'networks'], ['a', 'archive'], ['s', 'settings'], ['d', 'dashboard']]) {
    await both('g', key)
    await page.waitForURL(new RegExp(`/${path}`))
  }
  // The second of two is not taken for itself: n alone binds a key here.
  await both('g', 'b')
  await page.waitForURL(/\/bindings/)
  await both('g', 'n')
  await page.waitForURL(/\/networks/)
  await settled(page)
  assert.equal(await page.getByRole('dialog').count(), 0)
  await both('g', 'd')
  await page.waitForURL(/\/dashboard/)
  // From a page without a search box, / goes to one that has it.
  await page.keyboard.press('/')
  await page.waitForURL(/\/bindings/)
  await page.locator('[data-search]:focus').waitFor()
  await page.keyboard.type('x?')
  assert.equal(await page.locator('[data-search]').inputValue(), 'x?', 'shortcuts take what is typed')
  await page.keyboard.press('Escape')
  assert.equal(await page.locator('[data-search]').inputValue(), '')
  await page.keyboard.press('Escape')
  await page.locator('[data-search]:not(:focus)').waitFor()
})

inConsole('rows are walked and opened, and closing leads back to the row', async ({ page, site }) => {
  await page.goto(`${site.console}/bindings`)
  await settled(page)
  await page.locator('tbody tr').first().focus()
  await page.keyboard.press('ArrowDown')
  const row = (await focused(page)).name
  await page.keyboard.press('Enter')
  await page.waitForURL(/open=/)
  await page.getByRole('button', { name: 'Close' }).waitFor()
  await page.locator('.el-drawer :focus, .el-drawer:focus').first().waitFor({ state: 'attached' })
  await page.keyboard.press('Escape')
  await page.waitForURL((url) => !url.search.includes('open='))
  await page.locator('tbody tr:nth-child(2):focus').waitFor()
  assert.equal((await focused(page)).name, row)
})

inConsole('a key is found, banned and forgiven by keys alone', async ({ page, site }) => {
  const binding = await site.bindingOf(4)
  await page.goto(`${site.console}/bindings`)
  await settled(page)
  await page.keyboard.press('/')
  await page.keyboard.type(binding.hash)
  await page.keyboard.press('Enter')
  await page.waitForURL(/open=/)
  await tabTo(page, /^Ban$/)
  await page.keyboard.press('Enter')
  const question = page.getByRole('dialog', { name: /^Ban / })
  await question.waitFor()
  await tabTo(page, /^Ban$/)
  await page.keyboard.press('Enter')
  await toast(page, 'is banned')
  assert.equal(await site.use(keys[4], binding.firstIp), 403)
  await tabTo(page, /^Lift ban$/)
  await page.keyboard.press('Enter')
  await toast(page, 'may be used again')
  assert.equal(await site.use(keys[4], binding.firstIp), 200)
})

inConsole('filters are chosen and taken away by keys alone', async ({ page, site }) => {
  await page.goto(`${site.console}/bindings`)
  await settled(page)
  await tabTo(page, /^Status$/)
  await page.keyboard.press('Enter')
  await page.locator('[role=menuitem]:focus', { hasText: 'Active' }).waitFor()
  await page.keyboard.press('ArrowDown')
  await page.locator('[role=menuitem]:focus', { hasText: 'Banned' }).waitFor()
  await page.keyboard.press('Enter')
  await page.waitForURL(/status=banned/)
  await tabTo(page, /^Clear filters$/)
  await page.keyboard.press('Enter')
  await page.waitForURL((url) => !url.search.includes('status='))
})
