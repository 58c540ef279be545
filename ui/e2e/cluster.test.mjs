// Two nodes with a PostgreSQL and a Redis: what is there, what is away, and what cannot be known.
import assert from 'node:assert/strict'
import { after } from 'node:test'
import { consoleTests, rowOf, toast } from './browser.mjs'
import { Servers } from './servers.mjs'
import { Site, keys } from './site.mjs'

const servers = await Servers.start()
const second = await Site.start({ settings: servers.settings('sentinel-2') })
const inConsole = consoleTests({ settings: servers.settings('sentinel-1'), count: 0 })
after(async () => {
  await second.stop()
  await servers.stop()
})

inConsole('the nodes of a cluster are listed, with how far each is behind', async ({ page, site }) => {
  await page.goto(`${site.console}/nodes`)
  for (const name of ['sentinel-1', 'sentinel-2']) {
    const row = rowOf(page, name)
    await row.getByText('Here', { exact: true }).waitFor()
    await row.getByText('level', { exact: true }).waitFor()
    await row.getByText('answers', { exact: true }).nth(1).waitFor() // PostgreSQL, and Redis
  }
  await rowOf(page, 'sentinel-1').getByText('answers you').waitFor()
  await page.getByText('leader', { exact: true }).waitFor()
  assert.equal(await page.getByText('leader', { exact: true }).count(), 1)
})

inConsole('what is done at one node is seen at the other', async ({ page, site }) => {
  await page.goto(`${site.console}/bindings`)
  assert.equal(await second.use(keys[1], '203.0.113.9'), 200)
  const { hash, hint } = await second.bindingOf(1)
  await rowOf(page, hint).waitFor()
  await page.goto(`${site.console}/bindings?open=${hash}`)
  await page.getByRole('dialog').getByRole('button', { name: 'Ban' }).click()
  await page.locator('[data-confirm]:visible').click()
  await toast(page, 'is banned')
  const deadline = Date.now() + 30_000
  while ((await second.bindingOf(1)).status !== 'banned') assert.ok(Date.now() < deadline, 'the ban is not heard of')
})

inConsole('without PostgreSQL the dashboard does not call quiet what it cannot know', async ({ page, site }) => {
  const health = page.getByRole('region', { name: 'Health' })
  await page.goto(`${site.console}/dashboard?range=1h`)
  await health.getByText('all changes are here').waitFor()
  await servers.stopRedis()
  await health.getByText('each node has rate limits of its own').waitFor()
  await page.getByText('No key is being abused right now.').waitFor()
  await servers.stopPostgres()
  await page.getByText('Whether a key is being abused cannot be told at the moment.').waitFor()
  await page.getByText('PostgreSQL cannot be reached from here: the figures are what this node knows.').waitFor()
  assert.equal(await page.getByText('No key is being abused').count(), 0)
  await health.getByText('the copy of this node decides').waitFor()
  await page.goto(`${site.console}/nodes`)
  await page.getByText('PostgreSQL cannot be reached from here: the others').waitFor()
  await rowOf(page, 'sentinel-1').getByText('On its own').waitFor()
  await servers.startPostgres()
  await servers.startRedis()
  for (const name of ['sentinel-1', 'sentinel-2']) await rowOf(page, name).getByText('Here', { exact: true }).waitFor()
  await page.goto(`${site.console}/dashboard`)
  await page.getByText('No key is being abused right now.').waitFor()
})

inConsole('a node that is killed is lost, and what it refuses is not known', async ({ page, site }) => {
  await page.goto(`${site.console}/nodes`)
  await rowOf(page, 'sentinel-2').getByText('Here', { exact: true }).waitFor()
  second.process.kill('SIGKILL')
  const row = rowOf(page, 'sentinel-2')
  await row.getByText('Lost', { exact: true }).waitFor()
  assert.equal(await row.getByText('level', { exact: true }).count(), 0)
  await rowOf(page, 'sentinel-1').getByText('Here', { exact: true }).waitFor()
  await page.goto(`${site.console}/dashboard`)
  await page.getByText('No key is being abused, as far as can be told.').waitFor()
  await page.getByText('Not heard of, with what it refuses: sentinel-2').waitFor()
  await page.getByRole('region', { name: 'Health' }).getByText('sentinel-2').waitFor()
})
