// Settings, accounts, tokens, the audit trail, care of the data.
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { confirm, consoleTests, person, rowOf, signIn, toast } from './browser.mjs'
import { keys, password } from './site.mjs'

const inConsole = consoleTests()

inConsole('a setting is reviewed, saved, in force, and taken back', async ({ page, site }) => {
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

inConsole('a value that is refused stays, with the fault beside it', async ({ page, site }) => {
  await page.goto(`${site.console}/settings?show=runtime`)
  await page.locator('#ARCHIVE_DAYS').fill('-5')
  await page.getByRole('button', { name: 'Review and save' }).click()
  await confirm(page)
  await page.locator('.field-error').first().waitFor()
  assert.equal(await page.locator('#ARCHIVE_DAYS').inputValue(), '-5')
  await page.getByRole('button', { name: 'Discard' }).click()
})

inConsole('an operator is added, and sees what operators see', async ({ page, site, browser }) => {
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

inConsole('a token is shown once, works, and is deleted', async ({ page, site }) => {
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

inConsole('the audit trail says what changed', async ({ page, site }) => {
  await page.goto(`${site.console}/audit?action=setting.`)
  await rowOf(page, 'SENTINEL_MODE').first().click()
  const drawer = page.getByRole('dialog', { name: 'Changed a setting' })
  await drawer.getByText('What changed').waitFor()
  assert.match(await drawer.locator('table').textContent(), /observe/)
})

inConsole('a backup is downloaded', async ({ page, site }) => {
  await page.goto(`${site.console}/about`)
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Download backup' }).click()])
  assert.match(download.suggestedFilename(), /^sentinel-.*\.db$/)
  assert.ok(readFileSync(await download.path()).length > 4096)
  await page.getByRole('button', { name: 'Run now' }).click()
  await toast(page, 'archived')
})

inConsole('what is idle goes to the archive, is found there, and comes back', async ({ page, site }) => {
  await page.goto(`${site.console}/archive`)
  await page.getByText('The archive is empty').waitFor()
  await site.down()
  site.age(3, 100, 95)
  await site.up()
  assert.equal((await site.api('POST', '/maintenance/housekeeping')).archived, 3)
  await page.goto(`${site.console}/archive`)
  const [row] = (await site.api('GET', '/archive')).items
  const box = page.getByRole('textbox', { name: 'Search the archive' })
  await box.fill('no such label')
  await box.press('Enter')
  await page.getByRole('button', { name: 'Clear filters' }).last().click()
  await page.getByText('1–3 of 3').waitFor()
  await rowOf(page, row.hint).getByRole('button', { name: /^Restore/ }).click()
  await toast(page, 'is in force again')
  await page.getByText('1–2 of 2').waitFor()
  await page.locator('.toast').getByRole('button', { name: 'Open' }).click()
  await page.waitForURL(new RegExp(`/bindings\\?open=${row.hash}`))
  await page.locator('.el-drawer h2', { hasText: row.label || row.hint }).waitFor()
  assert.deepEqual((await site.api('GET', `/bindings/${row.hash}`)).rule, row.rule)
})

inConsole('a second factor is switched on, asked for, and has recovery codes', async ({ page, site }) => {
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
