import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { Plugin } from 'vite'

interface Licence {
  name: string
  version: string
  licence: string
  text: string
}

/**
 * Writes licences.json beside the build: the packages that are in it, and their licence texts. They go with every
 * release, of which the build is a part.
 */
export function licences(): Plugin {
  const roots = new Set<string>()
  let outDir = ''
  return {
    name: 'licences',
    apply: 'build',
    configResolved(config) {
      outDir = resolve(config.root, config.build.outDir)
    },
    generateBundle(_, bundle) {
      for (const chunk of Object.values(bundle)) {
        if (chunk.type !== 'chunk') continue
        for (const id of chunk.moduleIds) {
          const root = packageOf(id)
          if (root) roots.add(root)
        }
      }
    },
    closeBundle() {
      const all = [...roots].map(licenceOf).sort((a, b) => (a.name < b.name ? -1 : 1))
      writeFileSync(join(dirname(outDir), outDir.endsWith('/dist') ? 'licences.json' : '.licences.json'), JSON.stringify(all, null, 1) + '\n')
    },
  }
}

/** The folder of the package that a module is of. Empty for the project's own. */
function packageOf(id: string): string {
  const path = id.replace(/^\0/, '').split('?')[0] ?? ''
  return /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? ''
}

function licenceOf(root: string): Licence {
  const { name, version, license } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, string | undefined>
  if (!name || !version || !license) throw new Error(`${root}: its package.json names no licence`)
  const file = readdirSync(root).sort().find((one) => /^licen[cs]e(\.|-|$)/i.test(one))
  // Packages of one repository often leave the text to the whole.
  const text = file ? readFileSync(join(root, file), 'utf8') : ''
  const notice = existsSync(join(root, 'NOTICE')) ? readFileSync(join(root, 'NOTICE'), 'utf8') : ''
  return { name, version, licence: license, text: [text, notice].filter(Boolean).join('\n') }
}
