// A PostgreSQL and a Redis of a cluster's own, on private ports and in a private directory.
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onPath } from './path.mjs'
import { freePort } from './site.mjs'

const debian = '/usr/lib/postgresql'

/** Where the programs of the newest PostgreSQL are; empty: those on PATH. */
function programs() {
  try {
    const newest = readdirSync(debian).map(Number).filter((version) => version > 0).sort((a, b) => b - a)[0]
    return newest ? join(debian, String(newest), 'bin') : ''
  } catch {
    return ''
  }
}

function run(program, args, options) {
  const ran = spawnSync(program, args, { encoding: 'utf8', ...options })
  if (ran.error || ran.status !== 0) throw new Error(`${program}: ${ran.error ?? ran.stderr}`)
  return ran.stdout.trim()
}

// Nothing that was started here outlives a test that fails.
const children = new Map()
process.on('exit', () => children.forEach((signal, child) => child.kill(signal)))

/** Starts a program that ends at once, with its children, on a signal. */
function start(program, args, signal, options) {
  const child = spawn(program, args, { stdio: 'ignore', ...options })
  children.set(child, signal)
  child.on('exit', () => children.delete(child))
  return child
}

function stop(child) {
  const signal = children.get(child)
  if (!signal) return Promise.resolve()
  return new Promise((done) => {
    child.on('exit', done)
    child.kill(signal)
  })
}

/** Reports whether a Redis answers at a port. */
function pongs(port) {
  return new Promise((done) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write('PING\r\n'))
    socket.on('data', (answer) => {
      done(String(answer).startsWith('+PONG'))
      socket.destroy()
    })
    socket.on('error', () => done(false))
  })
}

export class Servers {
  static async start() {
    const servers = new Servers()
    servers.dir = mkdtempSync(join(tmpdir(), 'sentinel-ui-servers-'))
    try {
      servers.ports = { postgres: await freePort(), redis: await freePort() }
      servers.initPostgres()
      await servers.startPostgres()
      run(servers.program('createdb'), [...servers.reach(), 'sentinel'])
      await servers.startRedis()
    } catch (thrown) {
      await servers.stop()
      throw thrown
    }
    return servers
  }

  /** What a node is given to be one of the cluster. */
  settings(name) {
    return {
      PG_DSN: `postgresql://postgres@127.0.0.1:${this.ports.postgres}/sentinel?sslmode=disable`, REDIS_ADDR: `127.0.0.1:${this.ports.redis}`,
      SENTINEL_NODE_NAME: name, ADMIN_JWT_SECRET: 'another secret for tests of the console only',
    }
  }

  program(name) {
    return join(programs(), name)
  }

  reach() {
    return ['-h', '127.0.0.1', '-p', String(this.ports.postgres), '-U', 'postgres']
  }

  initPostgres() {
    this.data = join(this.dir, 'postgres')
    mkdirSync(this.data)
    this.owner = { cwd: this.data }
    if (process.getuid() === 0) {
      // It refuses to run as root.
      const [uid, gid] = ['-u', '-g'].map((of) => Number(run('id', [of, 'postgres'])))
      chmodSync(this.dir, 0o755)
      chownSync(this.data, uid, gid)
      this.owner = { cwd: this.data, uid, gid }
    }
    run(this.program('initdb'), ['-D', join(this.data, 'data'), '-U', 'postgres', '-A', 'trust', '--no-sync'], this.owner)
  }

  async startPostgres() {
    const settings = ['listen_addresses=127.0.0.1', `unix_socket_directories=${this.data}`, 'fsync=off'].flatMap((one) => ['-c', one])
    this.postgres = start(this.program('postgres'), ['-D', join(this.data, 'data'), '-p', String(this.ports.postgres), ...settings], 'SIGQUIT', this.owner)
    await this.answers('PostgreSQL', () => spawnSync(this.program('pg_isready'), this.reach()).status === 0)
  }

  stopPostgres() {
    return stop(this.postgres)
  }

  async startRedis() {
    const server = onPath('redis-server', 'valkey-server')
    if (!server) throw new Error('missing: a Redis server: apt-get install redis-server')
    this.redis = start(server, ['--port', String(this.ports.redis), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', this.dir], 'SIGKILL')
    await this.answers('Redis', () => pongs(this.ports.redis))
  }

  stopRedis() {
    return stop(this.redis)
  }

  async answers(name, asks) {
    const deadline = Date.now() + 60_000
    while (!(await asks())) {
      if (Date.now() > deadline) throw new Error(`${name} does not start`)
      await new Promise((done) => setTimeout(done, 50))
    }
  }

  async stop() {
    await Promise.all([this.stopPostgres(), this.stopRedis()])
    rmSync(this.dir, { recursive: true, force: true })
  }
}
