// Says whether two builds are the same. Compressed files are compared by what is
// in them: another version of Node may compress the same to other bytes.
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'

const [ours, fresh] = process.argv.slice(2)
const list = (dir) => readdirSync(dir, { recursive: true, withFileTypes: true }).filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name).slice(dir.length + 1)).sort()
const read = (dir, name) => {
  const body = readFileSync(join(dir, name))
  if (name.endsWith('.br')) return brotliDecompressSync(body)
  return name.endsWith('.gz') ? gunzipSync(body) : body
}

const names = new Set([...list(ours), ...list(fresh)])
const ourNames = new Set(list(ours))
const freshNames = new Set(list(fresh))
const wrong = [...names].flatMap((name) => {
  if (!freshNames.has(name)) return [`${name}: is not in a fresh build`]
  if (!ourNames.has(name)) return [`${name}: is missing`]
  return read(ours, name).equals(read(fresh, name)) ? [] : [`${name}: differs`]
})
if (wrong.length > 0) {
  console.error(`${ours} is not what the sources build to: run make ui, and commit it\n  ${wrong.slice(0, 10).join('\n  ')}`)
  process.exit(1)
}
