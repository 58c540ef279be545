// Makes the pages readable from a disk: every address is made one from the page
// itself, and leads to a file. A link to what is not there fails.
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'

const docs = new URL('..', import.meta.url).pathname
const root = join(docs, '../bin/docs')
cpSync(join(docs, 'monitoring'), join(root, 'monitoring'), { recursive: true })
cpSync(join(docs, '../CHANGELOG.md'), join(root, 'CHANGELOG.md'))
for (const left of ['package.json', 'hashmap.json']) rmSync(join(root, left), { force: true })

const pages = readdirSync(root, { recursive: true }).filter((name) => name.endsWith('.html'))
const broken = []

/** The file that an address on a page means, from the root. */
function fileOf(page, path) {
  let file = path.startsWith('/') ? path.slice(1) : normalize(join(dirname(page), path))
  if (file === '' || file.endsWith('/')) file += 'index.html'
  file = file.replace(/README\.html$/, 'index.html').replace(/^(\.\.\/)*CHANGELOG\.html$/, 'CHANGELOG.md')
  return existsSync(join(root, file)) ? file : `${file}.html`
}

/** Whether what follows # is there. */
function hasAnchor(file, rest) {
  const id = decodeURIComponent(rest.replace(/^[^#]*#?/, ''))
  return id === '' || readFileSync(join(root, file), 'utf8').includes(` id="${id}"`)
}

for (const page of pages) {
  const html = readFileSync(join(root, page), 'utf8').replace(/ (href|src)="([^"#?]+)([^"]*)"/g, (all, attribute, path, rest) => {
    if (/^[a-z]+:|^\/\//.test(path)) return all
    const file = fileOf(page, decodeURI(path))
    if (!existsSync(join(root, file)) || !hasAnchor(file, rest)) broken.push(`${page}: ${path}${rest}`)
    return ` ${attribute}="${relative(dirname(page), file)}${rest}"`
  })
  writeFileSync(join(root, page), html)
}
if (broken.length > 0) {
  console.error(`links to what is not there:\n  ${broken.join('\n  ')}`)
  process.exit(1)
}
console.log(`${pages.length} pages in ${relative(process.cwd(), root)}`)
