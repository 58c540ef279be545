// The console in a real browser, against the real program, with data that real
// requests through the proxy have made.
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { after, before, describe, test } from 'node:test'
import { Site, keys, launch, officeIP, password, person, signIn } from './site.mjs'

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const pages = ['dashboard', 'bindings', 'intercepts', 'archive', 'settings', 'accounts', 'tokens', 'audit', 'about', 'profile']

let browser, site
before(async () => {
  browser = await launch()
  site = await Site.start()
  await site.fill(24)
}, { timeout: 120_000 })
after(async () => {
  await browser?.close()
  await site?.stop()
})

/** A test with a browser of its own, signed in, which must complain of nothing. */
function inConsole(name, act, options = {}) {
  test(name, { timeout: 90_000 }, async () => {
    const who = await person(browser, options.site?.() ?? site, options)
    who.page.setDefaultTimeout(15_000)
    try {
      if (!options.stranger) await signIn(who.page, site, options.name)
      await act(who.page, who)
      const complaints = who.complaints.filter((one) => !/Failed to load resource|ERR_CONNECTION|ERR_INCOMPLETE/.test(one))
      assert.deepEqual(complaints, [], 'the page complains')
      assert.deepEqual(who.foreign, [], 'requests leave the site')
    } finally {
      await who.context.close()
    }
  })
}

const rowOf = (page, text) => page.locator('tbody tr', { hasText: text })
const toast = (page, text) => page.locator('.toast', { hasText: text }).waitFor()
const confirm = (page) => page.locator('[data-confirm]:visible').click()
async function keyOf(i) {
  const found = await site.api('POST', '/bindings/search', { key: keys[i] })
  return found.items[0]
}
async function overflow(page) {
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
}

describe('getting in', () => {
  test('setup makes the first account, once', { timeout: 60_000 }, async () => {
    const fresh = await Site.start({ account: false })
    const { context, page } = await person(browser, fresh)
    try {
      await page.goto(`${fresh.console}/login`)
      await page.getByText('sentinel admin setup-link').waitFor()
      const address = /https?:\/\/\S+\/admin\/ui\/setup\?token=\S+?(?=["\s]|$)/.exec(fresh.log)?.[0]
      assert.ok(address, `no setup address in the log: ${fresh.log}`)
      const link = fresh.url + new URL(address).pathname + new URL(address).search
      await page.goto(link)
      await page.locator('input[name=new-password]').fill('short')
      assert.match(await page.textContent('main'), /7 more to go/)
      await page.locator('input[name=new-password]').fill(password)
      assert.ok(!page.url().includes('token='), 'the token stays in the address bar')
      await page.locator('button[type=submit]').click()
      await page.waitForURL(/\/dashboard/)
      const other = await person(browser, fresh)
      await other.page.goto(link)
      await other.page.locator('input[name=new-password]').fill(password)
      await other.page.locator('button[type=submit]').click()
      await other.page.getByText('used up, too old or incomplete').waitFor()
    } finally {
      await context.close()
      await fresh.stop()
    }
  })

  inConsole('a wrong password is said, and five of them lock', async (page) => {
    await page.goto(`${site.console}/bindings?status=banned`)
    await page.waitForURL(/\/login\?next=/)
    await page.locator('input[name=username]').fill('mallory')
    for (let i = 0; i < 6; i++) {
      await page.locator('input[name=password]').fill(`wrong password ${i}`)
      await Promise.all([page.waitForResponse(/\/login$/), page.locator('button[type=submit]').click()])
      await page.getByRole('alert').filter({ hasText: i < 5 ? 'Wrong name or password' : /You can try again in 1[45] min/ }).waitFor()
    }
    assert.equal(await page.locator('button[type=submit]').isDisabled(), true)
    assert.equal(await page.locator('input[name=username]').inputValue(), 'mallory')
  }, { stranger: true })

  inConsole('signing in returns to where one was', async (page) => {
    await page.goto(`${site.console}/bindings?status=banned`)
    await page.locator('input[name=username]').fill('admin')
    await page.locator('input[name=password]').fill(password)
    await page.locator('button[type=submit]').click()
    await page.waitForURL(/\/bindings\?status=banned/)
    await page.getByText('1–2 of 2').waitFor()
  }, { stranger: true })

  inConsole('no script can read the session', async (page, { context }) => {
    const cookie = (await context.cookies()).find((one) => one.name === 'sentinel_session')
    assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.path], [true, 'Strict', '/admin'])
    const kept = await page.evaluate(() => JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }]))
    assert.doesNotMatch(kept, /eyJ|sentinel_session/)
  })

  inConsole('an expired session keeps what was typed', async (page, { context }) => {
    await page.goto(`${site.console}/bindings?open=${(await keyOf(1)).hash}`)
    const note = page.locator('.el-drawer textarea')
    await note.fill('typed before the session ended')
    await context.clearCookies()
    await page.getByRole('button', { name: 'Save' }).click()
    const dialog = page.getByRole('dialog', { name: 'Your session has ended' })
    await dialog.locator('input[name=password]').fill(password)
    await dialog.getByRole('button', { name: 'Sign in', exact: true }).click()
    await dialog.waitFor({ state: 'hidden' })
    assert.equal(await note.inputValue(), 'typed before the session ended')
    await page.getByRole('button', { name: 'Save' }).click()
    await toast(page, 'Saved')
    assert.equal((await keyOf(1)).note, 'typed before the session ended')
  })

  inConsole('signing out ends the session', async (page) => {
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.waitForURL(/\/login/)
    await page.goto(`${site.console}/bindings`)
    await page.waitForURL(/\/login\?next=/)
  })
})

describe('watching', () => {
  inConsole('the dashboard says whether a key is abused, and follows live', async (page) => {
    await page.locator('.verdict', { hasText: 'refused in the last 15 minutes' }).waitFor()
    await page.locator('canvas').waitFor()
    await page.getByText('connected').waitFor()
    await site.use(keys[2], '192.0.2.200')
    await page.locator('.log li', { hasText: '192.0.2.200' }).waitFor()
    await page.getByRole('link', { name: /^Banned/ }).click()
    await page.waitForURL(/\/bindings\?status=banned/)
    await page.goBack()
    await page.getByLabel('30 d').check({ force: true })
    await page.waitForURL(/range=30d/)
  })

  inConsole('intercepts follow live, pause, filter and allow', async (page) => {
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
    assert.equal((await keyOf(4)).rule.kind, 'multiple')
  })

  inConsole('an intercept can be looked into, and leads to its key', async (page) => {
    await page.goto(`${site.console}/intercepts`)
    await page.locator('tbody tr').first().locator('td').nth(2).click()
    const drawer = page.getByRole('dialog', { name: 'Intercept' })
    await drawer.getByText('Request ID').first().waitFor()
    await drawer.getByRole('link', { name: 'Only this key' }).click()
    await page.waitForURL(/hash=[0-9a-f]{64}/)
  })
})

describe('bindings', () => {
  inConsole('one box searches by label, address and whole key', async (page) => {
    await page.goto(`${site.console}/bindings`)
    const box = page.getByRole('textbox', { name: 'Search bindings' })
    await box.fill('build server')
    await box.press('Enter')
    await page.waitForURL(/text=build/)
    await rowOf(page, 'Build server').first().waitFor()
    await box.fill(officeIP)
    await box.press('Enter')
    await page.waitForURL(/network=203\.0\.113\.10/)
    await box.fill(keys[7])
    await box.press('Enter')
    await page.waitForURL(/open=[0-9a-f]{64}/)
    assert.ok(!page.url().includes(keys[7]), 'a key in the address bar')
    await page.keyboard.press('Escape')
    await page.waitForURL((url) => !url.search.includes('open='))
  })

  inConsole('filters and order are in the address bar', async (page) => {
    await page.goto(`${site.console}/bindings`)
    await page.getByRole('button', { name: 'Allowed from' }).first().click()
    await page.getByRole('menuitem', { name: 'Anywhere' }).click()
    await page.waitForURL(/rule=all/)
    await page.getByRole('columnheader', { name: 'Requests' }).getByRole('button').click()
    await page.waitForURL(/sort=hits&order=desc/)
    const shown = await page.locator('tbody tr').count()
    await page.reload()
    await page.locator('tbody tr').first().waitFor()
    assert.equal(await page.locator('tbody tr').count(), shown)
    await page.getByRole('button', { name: 'Clear filters' }).click()
    await page.waitForURL((url) => !url.search.includes('rule='))
  })

  inConsole('a rule is changed, checked while typing, and in force at once', async (page) => {
    const binding = await keyOf(10)
    assert.equal(await site.use(keys[10], '192.0.2.90'), 403)
    await page.goto(`${site.console}/bindings?open=${binding.hash}`)
    const drawer = page.locator('.el-drawer')
    await drawer.getByLabel('Several networks').check({ force: true })
    const field = drawer.getByLabel('Address or CIDR block')
    await field.fill('192.0.2.1/24')
    await drawer.getByText('did you mean 192.0.2.0/24?').waitFor()
    await drawer.getByRole('button', { name: 'Use 192.0.2.0/24' }).click()
    await drawer.getByLabel('Would this address pass?').fill('192.0.2.90')
    await drawer.getByText('passes', { exact: true }).waitFor()
    await drawer.getByRole('button', { name: 'Save' }).click()
    await toast(page, 'Saved')
    assert.equal(await site.use(keys[10], '192.0.2.90'), 200)
  })

  inConsole('a change made meanwhile is not overwritten', async (page) => {
    const binding = await keyOf(11)
    await page.goto(`${site.console}/bindings?open=${binding.hash}`)
    const label = page.locator('.el-drawer').getByLabel('Label')
    await label.fill('mine')
    await site.api('PATCH', `/bindings/${binding.hash}`, { note: 'theirs' })
    await page.getByText('was changed elsewhere while you were editing').waitFor()
    assert.equal(await label.inputValue(), 'mine')
  })

  inConsole('a ban is asked once, in force at once, and undone', async (page) => {
    const binding = await keyOf(12)
    await page.goto(`${site.console}/bindings?open=${binding.hash}`)
    await page.getByRole('button', { name: 'Ban', exact: true }).click()
    await page.getByText('It is refused from everywhere').waitFor()
    await confirm(page)
    await toast(page, 'is banned')
    assert.equal(await site.use(keys[12], binding.firstIp), 403)
    await page.locator('.toast').getByRole('button', { name: 'Undo' }).click()
    await toast(page, 'may be used again')
    assert.equal(await site.use(keys[12], binding.firstIp), 200)
  })

  inConsole('unbinding names the key, and can be undone', async (page) => {
    const binding = await keyOf(13)
    await page.goto(`${site.console}/bindings?open=${binding.hash}`)
    await page.getByRole('button', { name: 'Unbind', exact: true }).click()
    await page.getByRole('dialog', { name: new RegExp(`Unbind .*${binding.hint}`) }).waitFor()
    await confirm(page)
    await toast(page, 'is unbound')
    assert.equal(await keyOf(13), undefined)
    await page.locator('.toast').getByRole('button', { name: 'Undo' }).click()
    await toast(page, 'is bound again')
    assert.deepEqual((await keyOf(13)).rule, binding.rule)
  })

  inConsole('many are changed with a count', async (page) => {
    await page.goto(`${site.console}/bindings?status=active&sort=created&order=asc`)
    await page.locator('tbody tr').first().waitFor()
    await page.locator('tbody input[type=checkbox]').nth(0).click()
    await page.locator('tbody input[type=checkbox]').nth(2).click({ modifiers: ['Shift'] })
    await page.getByText('3 selected').waitFor()
    await page.getByRole('toolbar').getByRole('button', { name: 'Ban', exact: true }).click()
    await page.getByRole('dialog', { name: 'Ban 3 keys?' }).waitFor()
    await page.getByText('3 will change.').waitFor()
    await confirm(page)
    await toast(page, '3 bindings changed')
    await page.goto(`${site.console}/bindings?status=banned`)
    await page.getByText(/1–5 of 5/).waitFor()
    await page.getByRole('checkbox', { name: 'Select all rows' }).click()
    await page.getByRole('toolbar').getByRole('button', { name: 'Lift ban' }).click()
    await confirm(page)
    await toast(page, '5 bindings changed')
  })

  inConsole('a key is bound ahead of its first use', async (page) => {
    await page.goto(`${site.console}/bindings`)
    await page.locator('main').getByRole('button', { name: 'Bind a key' }).click()
    const form = page.getByRole('dialog', { name: 'Bind a key' })
    await form.locator('input[name=key]').fill(keys[40])
    await form.getByLabel('Address or CIDR block').fill('203.0.113.200')
    await form.locator('input[name=label]').fill('Ahead')
    await form.getByRole('button', { name: 'Bind', exact: true }).click()
    await toast(page, 'Ahead is bound')
    assert.equal(await site.use(keys[40], '192.0.2.5'), 403)
    assert.equal(await site.use(keys[40], '203.0.113.200'), 200)
    await page.keyboard.press('Escape')
    await page.locator('main').getByRole('button', { name: 'Bind a key' }).click()
    await form.locator('input[name=key]').fill(keys[40])
    await form.getByLabel('Address or CIDR block').fill('203.0.113.200')
    await form.getByRole('button', { name: 'Bind', exact: true }).click()
    await form.getByText('has a binding already').waitFor()
    assert.equal(await form.locator('input[name=key]').inputValue(), keys[40])
  })

  inConsole('an import is shown before anything changes', async (page) => {
    await page.goto(`${site.console}/bindings`)
    await page.locator('main').getByRole('button', { name: 'Import' }).click()
    const dialog = page.getByRole('dialog', { name: 'Import bindings' })
    const file = dialog.locator('input[type=file]')
    await file.setInputFiles({ name: 'keys.csv', mimeType: 'text/csv', buffer: Buffer.from(`key,label,prefixes\n${keys[50]},Imported,10.9.0.1\n${keys[51]},Broken,10.9.0.1/8\n`) })
    await dialog.getByText('The file has faults. Nothing was changed.').waitFor()
    await dialog.getByText('prefixes', { exact: true }).waitFor()
    assert.equal(await keyOf(50), undefined)
    await file.setInputFiles({ name: 'keys.csv', mimeType: 'text/csv', buffer: Buffer.from(`key,label,prefixes\n${keys[50]},Imported,10.9.0.1\n${keys[51]},Mended,10.0.0.0/8\n`) })
    await dialog.getByText('2 rows, no faults').waitFor()
    assert.equal(await keyOf(50), undefined)
    await dialog.getByRole('button', { name: 'Import 2 bindings' }).click()
    await toast(page, 'Imported: 2 new')
    assert.equal((await keyOf(51)).label, 'Mended')
  })

  inConsole('an export is downloaded', async (page) => {
    await page.goto(`${site.console}/bindings?status=active`)
    await page.getByRole('button', { name: 'Export' }).click()
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'What is filtered, as CSV' }).click()])
    assert.match(download.suggestedFilename(), /\.csv$/)
    assert.match(readFileSync(await download.path(), 'utf8'), /^\W?hash,hint,label/)
  })
})

describe('administration', () => {
  inConsole('a setting is reviewed, saved, in force, and taken back', async (page) => {
    await page.goto(`${site.console}/settings?q=SENTINEL_MODE`)
    await page.locator('select#SENTINEL_MODE').selectOption('observe')
    await page.getByRole('button', { name: 'Review and save' }).click()
    const dialog = page.getByRole('dialog', { name: 'Save these changes?' })
    assert.match(await dialog.textContent(), /− enforce.*\+ observe/)
    await confirm(page)
    await toast(page, 'Settings saved')
    assert.equal(await site.use(keys[20], '192.0.2.201'), 200)
    await page.goto(`${site.console}/dashboard`)
    await page.getByText('nothing is refused').waitFor()
    await page.getByRole('link', { name: 'Change' }).click()
    await page.getByRole('button', { name: 'Take back' }).click()
    await page.getByRole('button', { name: 'Review and save' }).click()
    await confirm(page)
    await toast(page, 'Settings saved')
    assert.equal(await site.use(keys[20], '192.0.2.201'), 403)
  })

  inConsole('a value that is refused stays, with the fault beside it', async (page) => {
    await page.goto(`${site.console}/settings?show=runtime`)
    await page.locator('#ARCHIVE_DAYS').fill('-5')
    await page.getByRole('button', { name: 'Review and save' }).click()
    await confirm(page)
    await page.locator('.field-error').first().waitFor()
    assert.equal(await page.locator('#ARCHIVE_DAYS').inputValue(), '-5')
    await page.getByRole('button', { name: 'Discard' }).click()
  })

  inConsole('an operator is added, and sees what operators see', async (page) => {
    await page.goto(`${site.console}/accounts`)
    await page.getByRole('button', { name: 'Add account' }).click()
    const form = page.getByRole('dialog', { name: 'Add an account' })
    await form.locator('input[name=account]').fill('olga')
    await form.getByLabel(/^Operator/).check()
    await form.locator('input[name=new-password]').fill(password)
    await form.getByRole('button', { name: 'Add account' }).click()
    await toast(page, 'Account olga added')
    const olga = await person(browser, site)
    await signIn(olga.page, site, 'olga')
    assert.equal(await olga.page.getByRole('link', { name: 'Accounts' }).count(), 0)
    await olga.page.goto(`${site.console}/accounts`)
    await olga.page.getByText('There is nothing here').waitFor()
    await rowOf(page, 'olga').getByRole('button', { name: /Actions/ }).click()
    await page.getByRole('menuitem', { name: 'Disable' }).click()
    await confirm(page)
    await toast(page, 'olga is disabled')
    await olga.page.goto(`${site.console}/bindings`)
    await olga.page.waitForURL(/\/login/)
    await olga.context.close()
  })

  inConsole('a token is shown once, works, and is deleted', async (page) => {
    await page.goto(`${site.console}/tokens`)
    await page.locator('main').getByRole('button', { name: 'Create token' }).first().click()
    const form = page.getByRole('dialog')
    await form.locator('input[name=token]').fill('e2e')
    await form.getByRole('button', { name: 'Create token' }).click()
    const secret = await page.locator('[data-secret]').textContent()
    assert.equal((await site.raw('GET', '/me', undefined, { Authorization: `Bearer ${secret}` })).status, 200)
    await page.getByRole('button', { name: 'I have copied it' }).click()
    await rowOf(page, 'e2e').getByRole('button', { name: 'Delete token e2e' }).click()
    await confirm(page)
    await toast(page, 'Token e2e is deleted')
    assert.equal((await site.raw('GET', '/me', undefined, { Authorization: `Bearer ${secret}` })).status, 401)
  })

  inConsole('the audit trail says what changed', async (page) => {
    await page.goto(`${site.console}/audit?action=setting.`)
    await rowOf(page, 'SENTINEL_MODE').first().click()
    const drawer = page.getByRole('dialog', { name: 'Changed a setting' })
    await drawer.getByText('What changed').waitFor()
    assert.match(await drawer.locator('table').textContent(), /observe/)
  })

  inConsole('a backup is downloaded', async (page) => {
    await page.goto(`${site.console}/about`)
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download backup' }).click()])
    assert.match(download.suggestedFilename(), /^sentinel-.*\.db$/)
    assert.ok(readFileSync(await download.path()).length > 4096)
    await page.getByRole('button', { name: 'Run now' }).click()
    await toast(page, 'archived')
  })

  inConsole('the archive says what it is for', async (page) => {
    await page.goto(`${site.console}/archive`)
    await page.getByText('The archive is empty').waitFor()
  })

  inConsole('a second factor is switched on, asked for, and has recovery codes', async (page) => {
    await site.api('POST', '/accounts', { name: 'tess', role: 'viewer', password })
    await signIn(page, site, 'tess')
    await page.goto(`${site.console}/profile`)
    await page.getByRole('button', { name: 'Switch on' }).click()
    assert.equal(await page.locator('img[alt^=QR]').evaluate((img) => img.complete && img.naturalWidth > 0), true)
    const secret = await page.locator('.enrol code').textContent()
    await page.locator('input[name=code]').fill('000000')
    await page.getByRole('button', { name: 'Confirm' }).click()
    await page.locator('.field-error').waitFor()
    await page.locator('input[name=code]').fill(totp(secret.trim()))
    await page.getByRole('button', { name: 'Confirm' }).click()
    const code = (await page.locator('.codes li').first().textContent()).trim()
    await page.getByRole('button', { name: 'I have kept them' }).click()
    await page.getByText(/recovery codes left/).waitFor()
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.waitForURL(/\/login/)
    await page.locator('input[name=username]').fill('tess')
    await page.locator('input[name=password]').fill(password)
    await page.locator('button[type=submit]').click()
    await page.locator('input[name=code]').fill(code)
    await page.locator('button[type=submit]').click()
    await page.waitForURL(/\/dashboard/)
  })
})

describe('habits', () => {
  inConsole('the browser’s language is taken, another can be chosen and stays', async (page) => {
    await page.getByRole('link', { name: '拦截记录' }).first().waitFor()
    assert.equal(await page.evaluate(() => document.documentElement.lang), 'zh-CN')
    await page.locator('aside [data-locale]').click()
    await page.getByRole('menuitem', { name: 'English' }).click()
    await page.getByRole('link', { name: 'Intercepts' }).first().waitFor()
    await page.reload()
    await page.getByRole('link', { name: 'Intercepts' }).first().waitFor()
    assert.equal(await page.title(), 'Dashboard · Key-IP Sentinel')
  }, { locale: 'zh-CN' })

  inConsole('the system’s theme is followed, another can be chosen and stays', async (page) => {
    const dark = () => page.evaluate(() => document.documentElement.classList.contains('dark'))
    assert.equal(await dark(), true)
    await page.emulateMedia({ colorScheme: 'light' })
    assert.equal(await dark(), false)
    await page.keyboard.press('t')
    assert.equal(await dark(), true)
    await page.reload()
    assert.equal(await dark(), true)
  }, { colorScheme: 'dark' })

  inConsole('everything goes without a mouse', async (page) => {
    await page.keyboard.press('?')
    await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor({ state: 'hidden' })
    await page.keyboard.press('g')
    await page.keyboard.press('b')
    await page.waitForURL(/\/bindings/)
    await page.locator('tbody tr').first().waitFor()
    await page.keyboard.press('/')
    assert.equal(await page.evaluate(() => document.activeElement?.hasAttribute('data-search')), true)
    await page.keyboard.press('Escape')
    await page.locator('tbody tr').first().focus()
    await page.keyboard.press('ArrowDown')
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle)
    assert.equal(outline, 'solid')
    await page.keyboard.press('Enter')
    await page.waitForURL(/open=/)
    await page.getByRole('button', { name: 'Close' }).waitFor()
    await page.keyboard.press('Escape')
    await page.waitForURL((url) => !url.search.includes('open='))
  })

  for (const [width, height] of [[390, 844], [768, 1024], [2560, 1440]]) {
    inConsole(`nothing runs out of the page at ${width} px`, async (page) => {
      for (const name of pages) {
        await page.goto(`${site.console}/${name}`)
        await page.locator('h1').waitFor()
        await page.waitForTimeout(250)
        assert.ok((await overflow(page)) <= 0, `${name} is ${await overflow(page)} px too wide`)
      }
      if (width > 900) return
      await page.getByRole('button', { name: 'Menu' }).click()
      await page.getByRole('link', { name: 'Bindings' }).click()
      await page.waitForURL(/\/bindings/)
    }, { viewport: { width, height } })
  }

  for (const colorScheme of ['light', 'dark']) {
    inConsole(`axe finds nothing serious, ${colorScheme}`, async (page) => {
      const open = `bindings?open=${(await keyOf(6)).hash}`
      for (const name of [...pages, open]) {
        await page.goto(`${site.console}/${name}`)
        await page.locator('h1').waitFor()
        await page.waitForTimeout(600)
        await page.evaluate(axeSource)
        const found = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] }))
        const serious = found.violations.filter((one) => ['serious', 'critical'].includes(one.impact))
        assert.deepEqual(serious.map((one) => `${name}: ${one.id}: ${one.nodes.map((n) => `${n.target} ${n.any[0]?.message ?? ''}`).slice(0, 4).join('; ')}`), [])
      }
    }, { colorScheme })
  }

  inConsole('a server that goes is said, and one that comes back is used', async (page) => {
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

  test('the dashboard can be used after 350 KB', { timeout: 60_000 }, async () => {
    const { context, page } = await person(browser, site)
    await signIn(page, site)
    const cdp = await context.newCDPSession(page)
    await cdp.send('Network.enable')
    await cdp.send('Network.setCacheDisabled', { cacheDisabled: true })
    const sizes = new Map()
    const urls = new Map()
    cdp.on('Network.responseReceived', ({ requestId, response }) => urls.set(requestId, response.url))
    cdp.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => sizes.set(requestId, encodedDataLength))
    const begin = Date.now()
    await page.goto(`${site.console}/dashboard`)
    await page.locator('.tile').first().waitFor()
    const usable = Date.now() - begin
    await page.locator('canvas').waitFor()
    let total = 0
    let chart = 0
    for (const [id, size] of sizes) {
      if (/TrafficChart/.test(urls.get(id) ?? '')) chart += size
      else total += size
    }
    console.log(`# transferred before the dashboard is usable: ${(total / 1024).toFixed(0)} KB in ${usable} ms; the chart: ${(chart / 1024).toFixed(0)} KB more`)
    assert.ok(total <= 350 * 1024, `${total} bytes`)
    await context.close()
  })
})

/** RFC 6238, as an authenticator does it. */
function totp(secret) {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
  const bits = [...secret.replace(/=+$/, '')].map((c) => alphabet.indexOf(c).toString(2).padStart(5, '0')).join('')
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)))
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)))
  const mac = createHmac('sha1', key).update(counter).digest()
  const at = mac.at(-1) & 15
  return String((mac.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, '0')
}
