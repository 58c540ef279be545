// usage: node .tmp-shots.mjs out looks(en-light,zh-dark) sizes(390,1280,2560) names
import { mkdirSync, readFileSync } from 'node:fs'
import { launch, person, settled, signIn } from './browser.mjs'
const site = JSON.parse(readFileSync('/tmp/site.json'))
const [out, looks, sizes, names] = [process.argv[2], process.argv[3].split(','), process.argv[4].split(','), process.argv[5]?.split(',')]
mkdirSync(out, { recursive: true })
const pages = [
  ['login', null], ['dashboard', '/dashboard'], ['bindings', '/bindings'], ['drawer', `/bindings?open=${site.first}`], ['drawer2', `/bindings?open=${site.shared}`],
  ['bulk', '/bindings', async (p) => { for (let i = 1; i < 4; i++) await p.locator(`tbody tr:nth-child(${i}) input[type=checkbox]`).click(); await p.getByRole('toolbar').getByRole('button').first().click(); await p.getByRole('dialog').waitFor() }, 'desktop'],
  ['create', '/bindings', async (p) => { await p.keyboard.press('n'); await p.getByRole('dialog').waitFor() }],
  ['import', '/bindings', async (p) => { await p.locator('main .el-button').nth(1).click(); await p.getByRole('dialog').waitFor() }],
  ['nomatch', '/bindings?q=zzzz&status=banned'],
  ['intercepts', '/intercepts'], ['idrawer', '/intercepts', async (p) => { await p.locator('tbody tr').nth(2).focus(); await p.keyboard.press('Enter'); await p.getByRole('dialog').waitFor() }],
  ['alerts', '/alerts'], ['adrawer', '/alerts', async (p) => { await p.locator('tbody tr').first().focus(); await p.keyboard.press('Enter'); await p.getByRole('dialog').waitFor() }], ['channels', '/alerts?tab=channels'], ['channelform', '/alerts?tab=channels', async (p) => { await p.locator('main .el-button--primary').first().click(); await p.getByRole('dialog').waitFor() }], ['deliveries', '/alerts?tab=deliveries'],
  ['networks', '/networks'], ['netform', '/networks', async (p) => { await p.locator('main .el-button--primary').first().click(); await p.getByRole('dialog').waitFor() }], ['blocked', '/networks?tab=blocked'], ['blockform', '/networks?tab=blocked', async (p) => { await p.locator('main .el-button--primary').first().click(); await p.getByRole('dialog').waitFor() }], ['exceptions', '/networks?tab=exceptions'], ['excform', '/networks?tab=exceptions', async (p) => { await p.locator('main .el-button--primary').first().click(); await p.getByRole('dialog').waitFor() }],
  ['archive', '/archive'], ['replay', '/replay'], ['doctor', '/ip-doctor'], ['doctor2', '/ip-doctor?of=described'], ['settings', '/settings'], ['settingsdiff', '/settings?q=ALERT_THRESHOLD_COUNT', async (p) => { await p.locator('main input[type=number], main .el-input-number input, main input.native').last().fill('9'); await p.keyboard.press('Tab'); }],
  ['accounts', '/accounts'], ['accountform', '/accounts', async (p) => { await p.locator('main .el-button--primary').first().click(); await p.getByRole('dialog').waitFor() }], ['tokens', '/tokens'], ['tokenform', '/tokens', async (p) => { await p.locator('main .el-button--primary').first().click(); await p.getByRole('dialog').waitFor() }], ['audit', '/audit'], ['auditdrawer', '/audit', async (p) => { await p.locator('tbody tr').nth(1).focus(); await p.keyboard.press('Enter'); await p.getByRole('dialog').waitFor() }], ['about', '/about'], ['profile', '/profile'], ['missing', '/nowhere'], ['help', '/dashboard', async (p) => { await p.keyboard.press('?'); await p.getByRole('dialog').waitFor() }],
]
const browser = await launch()
const t0 = Date.now()
const jobs = looks.flatMap((l) => sizes.map((s) => [l, Number(s)]))
for (const [look, width] of jobs) {
  const [lang, theme] = look.split('-')
  const who = await person(browser, site, { locale: lang === 'zh' ? 'zh-CN' : 'en-US', colorScheme: theme, viewport: { width, height: width < 500 ? 844 : width > 2000 ? 1440 : 800 } })
  const { page } = who
  page.setDefaultTimeout(6000)
  await page.goto(`${site.console}/login`); await page.waitForSelector('form')
  if (!names || names.includes('login')) await page.screenshot({ path: `${out}/login-${look}-${width}.png` })
  await signIn(page, site)
  for (const [title, path, act] of pages) {
    if (!path || (names && !names.includes(title))) continue
    try {
      await page.goto(site.console + path); await settled(page)
      if (act) { await act(page); await settled(page); await page.waitForTimeout(250) }
    } catch (e) { console.log(look, width, title, String(e).split('\n')[0]) }
    await page.screenshot({ path: `${out}/${title}-${look}-${width}.png`, fullPage: !act && !path.includes('open=') && width < 2000 })
  }
  if (who.complaints.length) console.log(look, width, [...new Set(who.complaints)])
  await who.context.close()
}
await browser.close()
console.log('done', (Date.now() - t0) / 1000)
