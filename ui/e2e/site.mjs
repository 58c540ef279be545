// A Sentinel with a gateway behind it, both real, with data made by real
// requests through the proxy.
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

export const binary = resolve(process.env.SENTINEL_BIN ?? '../bin/sentinel')
const bench = resolve(process.env.BENCH_BIN ?? '../bin/bench') // makes bindings in a data file
const hmacSecret = 'a secret for tests of the console only'
export const password = 'password for tests only'
// Clients come by way of a proxy at this address; browsers come directly.
const proxyAddress = '127.0.0.2'
export const officeIP = '203.0.113.10'
export const thiefIP = '198.51.100.66'

/** Keys of the gateway; none of them looks like a real one. */
export const keys = Array.from({ length: 64 }, (_, i) => `sk-test${String(i).padStart(4, "0")}OnlyForTests${(i * 7919).toString(36).padStart(6, "x")}`)

const labels = ['Build server', 'Data team', 'Mobile app', 'Support chat', 'Nightly report', 'Notebook of Wei', '客服机器人', '数据分析平台', 'Search indexer', 'Staging', 'Translation', 'On-call bot']

/** Reports whether a port can be listened on. */
function isFree(port) {
  return new Promise((done) => {
    const server = net.createServer()
    server.on('error', () => done(false))
    server.listen(port, '127.0.0.1', () => server.close(() => done(true)))
  })
}

/**
 * A port that is free, and that no connection gets by itself: systems give those
 * from 32768 on, so that such a one could be taken while Sentinel starts again.
 */
export async function freePort() {
  for (let i = 0; i < 200; i++) {
    const port = 15_000 + Math.floor(Math.random() * 17_000)
    if (await isFree(port)) return port
  }
  throw new Error('no port is free')
}

// Nothing that was started here outlives a test that fails.
const children = new Set()
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')))

function start(args, options) {
  const child = spawn(binary, args, options)
  children.add(child)
  child.on('exit', () => children.delete(child))
  return child
}

function firstLine(child, stream, wanted) {
  return new Promise((done, fail) => {
    let text = ''
    child[stream].on('data', (chunk) => {
      text += chunk
      const line = text.split('\n').find((one) => wanted.test(one))
      if (line) done(line)
    })
    child.on('exit', (code) => fail(new Error(`ended with ${code}: ${text}`)))
  })
}

export class Site {
  /** Starts both; with account false there is no account yet. */
  static async start({ account = true, settings = {} } = {}) {
    const site = new Site()
    site.dir = mkdtempSync(join(tmpdir(), 'sentinel-ui-'))
    writeFileSync(join(site.dir, 'keys'), keys.join('\n') + '\n')
    site.gateway = start(['demo-gateway', '--keys-file', join(site.dir, 'keys')], { stdio: ['ignore', 'pipe', 'inherit'] })
    site.gatewayAddress = (await firstLine(site.gateway, 'stdout', /:\d+$/)).trim()
    site.port = await freePort()
    site.url = `http://127.0.0.1:${site.port}`
    site.console = `${site.url}/admin/ui`
    site.environment = {
      PATH: process.env.PATH, HOME: site.dir, DOWNSTREAM_URL: `http://${site.gatewayAddress}`, SENTINEL_LISTEN: `127.0.0.1:${site.port}`,
      SENTINEL_DATA_DIR: join(site.dir, 'data'), SENTINEL_HMAC_SECRET: hmacSecret, TRUSTED_PROXY_IPS: `${proxyAddress}/32`, SENTINEL_LOG_LEVEL: 'info', SENTINEL_SHUTDOWN_GRACE: '1s',
      ...(account ? { ADMIN_PASSWORD: password } : {}), ...settings,
    }
    try {
      await site.up()
    } catch (thrown) {
      await site.stop() // else what was started keeps the test from ending
      throw thrown
    }
    return site
  }

  /** Starts Sentinel on the data that there is. */
  async up() {
    this.log = ''
    this.process = start(['serve'], { cwd: this.dir, env: this.environment, stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of ['stdout', 'stderr']) this.process[stream].on('data', (chunk) => (this.log += chunk))
    const deadline = Date.now() + 60_000
    while (Date.now() < deadline) {
      if (this.process.exitCode !== null) throw new Error(`Sentinel ended: ${this.log}`)
      try {
        if ((await fetch(`${this.url}/health`)).ok) return
      } catch {
        // Not there yet.
      }
      await new Promise((done) => setTimeout(done, 25))
    }
    throw new Error(`Sentinel does not start: ${this.log}`)
  }

  async down() {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    const ended = new Promise((done) => this.process.on('exit', done))
    this.process.kill('SIGTERM')
    await ended
  }

  /** Adds bindings that were last used some days ago; Sentinel must be down. */
  age(bindings, oldestDays, newestDays) {
    const ran = spawnSync(bench, ['fill', '-data-dir', join(this.dir, 'data'), '-secret', hmacSecret, '-bindings', bindings, '-oldest', `${oldestDays * 24}h`, '-newest', `${newestDays * 24}h`].map(String), { encoding: 'utf8' })
    if (ran.status !== 0) throw new Error(`bench fill: ${ran.error ?? ran.stderr}`)
  }

  async stop() {
    await this.down()
    this.gateway.kill('SIGTERM')
    rmSync(this.dir, { recursive: true, force: true })
  }

  /** One request of a client, from an address. */
  use(key, ip, path = '/v1/chat/completions', agent = 'python-openai/1.52.0') {
    return new Promise((done, fail) => {
      const body = JSON.stringify({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }] })
      const request = http.request(
        `${this.url}${path}`,
        { method: 'POST', localAddress: proxyAddress, headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json', 'X-Real-IP': ip, 'User-Agent': agent, 'Content-Length': Buffer.byteLength(body) } },
        (answer) => {
          answer.resume()
          answer.on('end', () => done(answer.statusCode))
        },
      )
      request.on('error', fail)
      request.end(body)
    })
  }

  /** A call of the admin API, signed in over a bearer session. */
  async api(method, path, body) {
    this.token ??= (await (await this.raw('POST', '/login', { password })).json()).access_token
    const answer = await this.raw(method, path, body, { Authorization: `Bearer ${this.token}` })
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
    return answer.status === 204 ? null : answer.json()
  }

  raw(method, path, body, headers = {}) {
    return fetch(`${this.url}/admin/api${path}`, {
      method, headers: { ...(body ? { 'Content-Type': 'application/json' } : {}), ...headers }, body: body ? JSON.stringify(body) : undefined,
    })
  }

  /** The binding of one of the keys; undefined if it has none. */
  async bindingOf(i) {
    const found = await this.api('POST', '/bindings/search', { key: keys[i] })
    return found.items[0]
  }

  /** Bindings with some life: uses, labels, rules, refusals, bans. */
  async fill(count = 40) {
    for (let i = 0; i < count; i++) {
      const ip = i % 5 === 0 ? officeIP : `203.0.113.${20 + i}`
      for (let n = 0; n <= (i * 13) % 9; n++) await this.use(keys[i], ip)
    }
    // In the order of the keys: those bound within one millisecond have none of their own.
    const items = await Promise.all(Array.from({ length: count }, (_, i) => this.bindingOf(i)))
    for (const [i, row] of items.entries()) {
      if (i % 3 === 2) continue
      const change = { label: labels[i % labels.length] + (i >= labels.length ? ` ${Math.floor(i / labels.length) + 1}` : '') }
      if (i % 7 === 1) change.rule = { kind: 'multiple', prefixes: [...row.rule.prefixes, '10.1.0.0/16', '2001:db8:42::/48'] }
      if (i % 11 === 3) change.rule = { kind: 'all' }
      await this.api('PATCH', `/bindings/${row.hash}`, change)
    }
    for (const i of [5, 17]) if (items[i]) await this.api('PATCH', `/bindings/${items[i].hash}`, { status: 'banned' })
    for (let i = 0; i < count; i += 2) {
      for (let n = 0; n < 1 + (i % 4); n++) await this.use(keys[i], i % 3 === 0 ? thiefIP : `198.51.100.${70 + i}`, i % 4 === 0 ? '/v1/chat/completions' : '/v1/models', i % 4 === 2 ? 'curl/8.5.0' : undefined)
    }
    await this.use(keys[6], '2001:db8:bad::17')
  }
}
