// Pictures of every page, in both languages and both themes, for people to look at.
import { mkdirSync } from 'node:fs'
import { launch, person, settled, signIn } from './browser.mjs'
import { Site, keys, password } from './site.mjs'

const out = process.argv[2] ?? '/tmp/sentinel-shots'
const only = process.argv[3]?.split(",")
mkdirSync(out, { recursive: true })
const site = await Site.start()
await site.fill()
await site.api('POST', '/accounts', { name: 'wei', role: 'operator', password })
await site.api('POST', '/accounts', { name: 'auditor', role: 'viewer', password })
await site.api('POST', '/tokens', { name: 'backup-job', role: 'admin', networks: ['10.0.0.0/8'], neverExpires: true })
await site.api('POST', '/tokens', { name: 'grafana', role: 'viewer', expiresAt: new Date(Date.now() + 80 * 86_400_000).toISOString() })
await site.api('POST', '/networks', { name: 'office', prefixes: ['192.0.2.0/24', '2001:db8:42::/48'], note: 'Beijing, second floor' })
await site.api('POST', '/blocked-networks', { networks: [{ prefix: '198.18.7.0/24', note: 'scanners' }] })
await site.use(keys[3], '198.18.7.9')
await site.api('PUT', '/settings', { values: { SENTINEL_SHARING_MINUTES: '1' } })
const first = (await site.api('GET', '/bindings?limit=1&sort=hits')).items[0]
await site.api('POST', '/exceptions', { hash: first.hash, prefix: '198.51.100.66', forSeconds: 14_400, note: 'on a journey' })
await site.api('POST', `/bindings/${first.hash}/rebind-links`, { seconds: 86_400 })
const shared = await site.bindingOf(9)
await site.api('PATCH', `/bindings/${shared.hash}`, { label: 'Shared notebook', rule: { kind: 'all' } })
while ((await site.api('GET', '/suspicions')).total === 0) {
  for (const ip of ['192.0.2.31', '203.0.113.77']) await site.use(keys[9], ip)
  await new Promise((done) => setTimeout(done, 5500)) // a minute counts when it is over; usage is written every 5 s
}
const browser = await launch()
const pages = [
  ['dashboard', '/dashboard'], ['bindings', '/bindings'], ['drawer', `/bindings?open=${first.hash}`], ['intercepts', '/intercepts'], ['alerts', '/alerts'], ['channels', '/alerts?tab=channels'], ['deliveries', '/alerts?tab=deliveries'], ['networks', '/networks'], ['blocked', '/networks?tab=blocked'], ['exceptions', '/networks?tab=exceptions'], ['archive', '/archive'], ['replay', '/replay'], ['doctor', '/ip-doctor'], ['settings', '/settings'],
  ['accounts', '/accounts'], ['tokens', '/tokens'], ['audit', '/audit'], ['nodes', '/nodes'], ['about', '/about'], ['profile', '/profile'],
]
const looks = [['en', 'en-US', 'light'], ['zh', 'zh-CN', 'dark'], ['en', 'en-US', 'dark'], ['zh', 'zh-CN', 'light']].filter(([l, , t]) => !only || only.includes(`${l}-${t}`))
for (const [name, locale, colorScheme] of looks) {
  for (const [size, viewport] of [['', { width: 1280, height: 800 }], ['-phone', { width: 390, height: 844 }], ['-wide', { width: 2560, height: 1440 }]]) {
    if (only && size && !only.includes(size.slice(1))) continue
    const { context, page, complaints, foreign } = await person(browser, site, { locale, colorScheme, viewport })
    await page.goto(`${site.console}/login`)
    await page.waitForSelector('form')
    await page.screenshot({ path: `${out}/login-${name}-${colorScheme}${size}.png` })
    await signIn(page, site)
    for (const [title, path] of pages) {
      await page.goto(site.console + path)
      await settled(page)
      await page.screenshot({ path: `${out}/${title}-${name}-${colorScheme}${size}.png`, fullPage: false })
    }
    if (complaints.length || foreign.length) console.log(name, colorScheme, size, [...new Set(complaints)], foreign)
    await context.close()
  }
}
await browser.close()
await site.stop()
