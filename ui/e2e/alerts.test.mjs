// Alerts, where they are sent to, and what became of it.
import assert from 'node:assert/strict'
import http from 'node:http'
import { after, before } from 'node:test'
import { confirm, consoleTests, rowOf, toast } from './browser.mjs'
import { keys } from './site.mjs'

const inConsole = consoleTests({ count: 8 })

// A receiver that takes messages, or does not.
let receiver, address
let answers = 200
const received = []
before(async () => {
  receiver = http.createServer((request, response) => {
    let body = ''
    request.on('data', (chunk) => (body += chunk))
    request.on('end', () => {
      received.push(body)
      response.writeHead(answers, { 'Content-Type': 'text/plain' }).end(answers === 200 ? 'thanks' : 'not today')
    })
  })
  await new Promise((done) => receiver.listen(0, '127.0.0.1', done))
  address = `http://127.0.0.1:${receiver.address().port}/hook?token=not-for-eyes`
})
after(() => receiver?.close())

inConsole('a channel is added, tested, and never shows its address again', async ({ page, site }) => {
  await page.goto(`${site.console}/alerts?tab=channels`)
  await page.getByText('Alerts are sent nowhere').waitFor()
  await page.getByRole('button', { name: 'Add channel' }).click()
  const form = page.getByRole('dialog', { name: 'Add a channel' })
  await form.locator('input[name=channel]').fill('on-call')
  await form.locator('input[name=url]').fill(address)
  await form.getByRole('button', { name: 'Add channel' }).click()
  await toast(page, 'Channel on-call saved')
  assert.ok(!(await page.content()).includes('not-for-eyes'), 'the token is shown')
  await page.getByRole('button', { name: 'Test on-call' }).click()
  await toast(page, 'on-call took the test message')
  assert.equal(received.length, 1)
  answers = 503
  await page.getByRole('button', { name: 'Test on-call' }).click()
  await page.locator('.toast', { hasText: '503' }).waitFor()
  answers = 200
  await rowOf(page, 'on-call').getByRole('button', { name: /^Actions/ }).click()
  await page.getByRole('menuitem', { name: 'Edit' }).click()
  const again = page.getByRole('dialog', { name: 'Change on-call' })
  assert.equal(await again.locator('input[name=url]').inputValue(), '')
  await again.getByLabel('Key refused again and again').check()
  await again.getByRole('button', { name: 'Save' }).click()
  await rowOf(page, 'on-call').getByText('1 kind').waitFor()
  await page.getByRole('button', { name: 'Test on-call' }).click()
  await toast(page, 'on-call took the test message')
})

inConsole('an alert opens while one looks, is looked into, and acknowledged', async ({ page, site }) => {
  await page.goto(`${site.console}/alerts?kind=key_refused&state=open`)
  const { hint, label } = await site.bindingOf(1)
  for (let i = 0; i < 6; i++) assert.equal(await site.use(keys[1], '192.0.2.99'), 403)
  const row = rowOf(page, label || hint)
  await row.waitFor()
  await row.getByText('Open', { exact: true }).waitFor()
  await row.locator('td').nth(3).click()
  const drawer = page.getByRole('dialog', { name: 'Key refused again and again' })
  await drawer.getByText('192.0.2.99').waitFor()
  await drawer.getByRole('button', { name: 'Acknowledge' }).click()
  await toast(page, 'no more reminders')
  await drawer.getByText('Acknowledged', { exact: true }).waitFor()
  await drawer.getByRole('link', { name: 'Deliveries' }).click()
  await page.waitForURL(/tab=deliveries/)
  await rowOf(page, 'on-call').getByText('Delivered').waitFor()
  assert.ok(received.some((one) => one.includes(hint)), 'nothing was sent of the key')
})

inConsole('on a phone an alert says what to do, and it is done and undone there', async ({ page, site }) => {
  const { hash, hint, label } = await site.bindingOf(4)
  for (let i = 0; i < 6; i++) assert.equal(await site.use(keys[4], '192.0.2.97'), 403)
  await page.goto(`${site.console}/alerts?hash=${hash}`)
  await rowOf(page, label || hint).locator('td').first().click()
  const drawer = page.getByRole('dialog', { name: 'Key refused again and again' })
  await drawer.getByText('If its user has moved, allow the address.').waitFor()
  await drawer.getByText('Active', { exact: true }).waitFor()
  await drawer.getByRole('button', { name: 'Ban key' }).click()
  await confirm(page)
  await toast(page, 'is banned')
  await drawer.getByText('Banned', { exact: true }).waitFor()
  assert.equal((await site.bindingOf(4)).status, 'banned')
  await page.locator('.toast').getByRole('button', { name: 'Undo' }).click()
  await toast(page, 'may be used again')
  await drawer.getByText('Active', { exact: true }).waitFor()
  await drawer.getByRole('link', { name: '192.0.2.97' }).click()
  await rowOf(page, '192.0.2.97').click()
  await page.getByRole('dialog', { name: 'Intercept' }).getByRole('button', { name: 'Allow this address' }).click()
  await confirm(page)
  await toast(page, 'may now come from 192.0.2.97')
  assert.equal(await site.use(keys[4], '192.0.2.97'), 200)
  await page.locator('.toast').getByRole('button', { name: 'Undo' }).click()
  await toast(page, 'is as it was')
  assert.equal(await site.use(keys[4], '192.0.2.97'), 403)
}, { viewport: { width: 390, height: 844 } })

inConsole('a delivery shows each attempt, and its link shows it to others', async ({ page, site }) => {
  await page.goto(`${site.console}/alerts?tab=deliveries`)
  await rowOf(page, 'on-call').first().press('Enter')
  await page.waitForURL(/message=/)
  const drawer = page.getByRole('dialog', { name: 'Key refused again and again' })
  await drawer.getByText('answered with status 200').waitFor()
  await drawer.getByText('thanks').waitFor()
  await page.reload()
  await drawer.getByText('answered with status 200').waitFor()
  await drawer.getByRole('link', { name: 'Open the alert' }).click()
  await page.waitForURL((url) => url.searchParams.has('open') && !url.searchParams.has('tab'))
})

inConsole('why a channel fails is said in Chinese', async ({ page, site }) => {
  await site.api('POST', '/alert-channels', { id: 'nobody', type: 'webhook', enabled: false, url: 'http://127.0.0.1:9/hook' })
  await site.api('POST', '/alert-channels', { id: 'busy', type: 'webhook', enabled: true, url: address })
  await page.goto(`${site.console}/alerts?tab=channels`)
  await page.getByRole('button', { name: '测试 nobody' }).click()
  await toast(page, '127.0.0.1:9 拒绝连接')
  answers = 503
  const { hint, label } = await site.bindingOf(2)
  for (let i = 0; i < 6; i++) assert.equal(await site.use(keys[2], '192.0.2.98'), 403)
  await rowOf(page, 'busy').getByText('应答状态 503').waitFor()
  await page.goto(`${site.console}/alerts?tab=deliveries`)
  await rowOf(page, 'busy').first().getByText('应答状态 503').waitFor()
  answers = 200
  await rowOf(page, 'busy').first().press('Enter')
  await page.getByRole('dialog').getByRole('button', { name: '重新发送' }).click()
  await page.getByRole('dialog').getByText('应答状态 200').waitFor()
  assert.ok(received.some((one) => one.includes(label || hint)), 'nothing was sent of the key')
  for (const id of ['nobody', 'busy']) await site.api('DELETE', `/alert-channels/${id}`)
}, { locale: 'zh-CN' })

inConsole('a channel is switched off, and deleted', async ({ page, site }) => {
  await page.goto(`${site.console}/alerts?tab=channels`)
  const act = async (name) => {
    await rowOf(page, 'on-call').getByRole('button', { name: /^Actions/ }).click()
    await page.getByRole('menuitem', { name }).click()
  }
  await act('Switch off')
  await toast(page, 'on-call is off')
  await rowOf(page, 'on-call').getByText('Off', { exact: true }).waitFor()
  await act('Delete')
  await page.getByRole('dialog', { name: 'Delete channel on-call?' }).waitFor()
  await confirm(page)
  await page.getByText('Alerts are sent nowhere').waitFor()
})
