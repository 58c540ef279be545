// serves a filled site and waits: prints URL
import { Site, keys, password } from './site.mjs'
import http from 'node:http'
import { writeFileSync } from 'node:fs'
const hook = http.createServer((req, res) => { req.resume(); req.on('end', () => { res.statusCode = req.url.includes('bad') ? 500 : 200; res.end('{"ok":true}') }) })
await new Promise((d) => hook.listen(0, '127.0.0.1', d))
const hp = hook.address().port
const site = await Site.start({ settings: { SENTINEL_ALERT_PRIVATE: 'true', ALERT_WEBHOOK_URL: `http://127.0.0.1:${hp}/ok` , ALERT_THRESHOLD_COUNT: '3'} }).catch(async (e) => { console.log(String(e).slice(0, 800)); return Site.start() })
await site.fill()
const tryApi = async (...a) => { try { return await site.api(...a) } catch (e) { console.log(String(e).slice(0, 300)) } }
await tryApi('POST', '/accounts', { name: 'wei', role: 'operator', password })
await tryApi('POST', '/accounts', { name: 'auditor', role: 'viewer', password })
await tryApi('POST', '/tokens', { name: 'backup-job', role: 'admin', networks: ['10.0.0.0/8'], neverExpires: true })
await tryApi('POST', '/tokens', { name: 'grafana', role: 'viewer', expiresAt: new Date(Date.now() + 80 * 86_400_000).toISOString() })
await tryApi('POST', '/networks', { name: 'office', prefixes: ['192.0.2.0/24', '2001:db8:42::/48'], note: 'Beijing, second floor' })
await tryApi('POST', '/networks', { name: '上海办公室', prefixes: ['198.51.100.128/25'], note: '三楼会议室与访客网络' })
await tryApi('POST', '/blocked-networks', { networks: [{ prefix: '198.18.7.0/24', note: 'scanners' }] })
await tryApi('POST', '/alert-channels', { id: 'ops', type: 'webhook', url: `http://127.0.0.1:${hp}/ok`, enabled: true })
await tryApi('POST', '/alert-channels', { id: 'oncall', type: 'webhook', url: `http://127.0.0.1:${hp}/bad`, enabled: true })
for (let i = 0; i < 8; i++) { await site.use(keys[3], '198.18.7.9'); await site.use(keys[4], '198.51.100.201') }
await tryApi('PUT', '/settings', { values: { SENTINEL_SHARING_MINUTES: '1' } })
const first = (await site.api('GET', '/bindings?limit=1&sort=hits')).items[0]
await tryApi('POST', '/exceptions', { hash: first.hash, prefix: '198.51.100.66', forSeconds: 14_400, note: 'on a journey' })
await tryApi('POST', `/bindings/${first.hash}/rebind-links`, { seconds: 86_400 })
const shared = await site.bindingOf(9)
await tryApi('PATCH', `/bindings/${shared.hash}`, { label: 'Shared notebook', rule: { kind: 'all' } })
for (let i=0; i<15 && (await site.api('GET', '/suspicions')).total === 0; i++) {
  for (const ip of ['192.0.2.31', '203.0.113.77']) await site.use(keys[9], ip)
  await new Promise((done) => setTimeout(done, 5500))
}
writeFileSync('/tmp/site.json', JSON.stringify({ url: site.url, console: site.console, first: first.hash, shared: shared.hash, pid: process.pid, log: '' }))
console.log('READY', site.url)
// goes on using
setInterval(async () => { for (const i of [1, 2, 6]) await site.use(keys[i], `203.0.113.${20 + i}`).catch(() => 0) ; await site.use(keys[12], '198.51.100.99').catch(() => 0) }, 20000)
process.on('SIGTERM', async () => { await site.stop(); process.exit(0) })
