import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import type { Plugin } from 'vite'

// Files below this size cost more in a second header than they save.
const worthIt = 512

/** Writes a .br and a .gz beside every file of the build that gets smaller by it. */
export function precompress(): Plugin {
  let outDir = ''
  return {
    name: 'precompress',
    apply: 'build',
    configResolved(config) {
      outDir = resolve(config.root, config.build.outDir)
    },
    closeBundle() {
      for (const path of filesOf(outDir)) {
        const body = readFileSync(path)
        if (body.length < worthIt) continue
        const br = brotliCompressSync(body, {
          params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: body.length },
        })
        const gz = gzipSync(body, { level: 9 })
        if (br.length < body.length) writeFileSync(path + '.br', br)
        if (gz.length < body.length) writeFileSync(path + '.gz', gz)
      }
    },
  }
}

function filesOf(dir: string): string[] {
  return readdirSync(dir)
    .sort()
    .flatMap((name) => {
      const path = join(dir, name)
      return statSync(path).isDirectory() ? filesOf(path) : [path]
    })
    .filter((path) => !/\.(br|gz)$/.test(path))
}
