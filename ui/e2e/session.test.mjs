// Getting in, staying in, getting out.
import assert from 'node:assert/strict'
import { consoleTests, person, toast } from './browser.mjs'
import { Site, password } from './site.mjs'

const inConsole = consoleTests()

inConsole('setup makes the first account, once', async ({ browser }) => {
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
}, { stranger: true })

inConsole('a wrong password is said, and five of them lock', async ({ page, site }) => {
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

inConsole('signing in returns to where one was', async ({ page, site }) => {
  await page.goto(`${site.console}/bindings?status=banned`)
  await page.locator('input[name=username]').fill('admin')
  await page.locator('input[name=password]').fill(password)
  await page.locator('button[type=submit]').click()
  await page.waitForURL(/\/bindings\?status=banned/)
  await page.getByText('1–2 of 2').waitFor()
}, { stranger: true })

inConsole('no script can read the session', async ({ page, context }) => {
  const cookie = (await context.cookies()).find((one) => one.name === 'sentinel_session')
  assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.path], [true, 'Strict', '/admin'])
  const kept = await page.evaluate(() => JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }]))
  assert.doesNotMatch(kept, /eyJ|sentinel_session/)
})

inConsole('an expired session keeps what was typed', async ({ page, site, context }) => {
  await page.goto(`${site.console}/bindings?open=${(await site.bindingOf(1)).hash}`)
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
  assert.equal((await site.bindingOf(1)).note, 'typed before the session ended')
})

inConsole('what the end of a session kept from being read is read after signing in again', async ({ page, site, context }) => {
  await page.goto(`${site.console}/bindings?status=active`)
  await page.locator('tbody tr').first().waitFor()
  await context.clearCookies()
  await page.getByRole('columnheader', { name: 'Requests' }).getByRole('button').click()
  const dialog = page.getByRole('dialog', { name: 'Your session has ended' })
  await dialog.waitFor()
  assert.equal(await page.locator('.table-box .error').count(), 0, 'the dialog says it')
  await dialog.locator('input[name=password]').fill(password)
  await dialog.getByRole('button', { name: 'Sign in', exact: true }).click()
  await dialog.waitFor({ state: 'hidden' })
  const [most] = (await site.api('GET', '/bindings?status=active&sort=hits&order=desc&limit=1')).items
  await page.locator('tbody tr').first().getByText(most.hint).waitFor()
  await page.getByRole('columnheader', { name: 'Requests' }).and(page.locator('[aria-sort=descending]')).waitFor()
  assert.match(page.url(), /status=active.*sort=hits/)
})

inConsole('signing out ends the session', async ({ page, site }) => {
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.waitForURL(/\/login/)
  await page.goto(`${site.console}/bindings`)
  await page.waitForURL(/\/login\?next=/)
})
