// Addresses and prefixes as the server reads them: what a form can say while
// one types. The server decides.

/** An address as a number, with its width in bits. */
export interface Address {
  bits: 32 | 128
  value: bigint
}

/** A prefix; value has no bits beyond length. */
export interface Prefix extends Address {
  length: number
}

export type PrefixFault = 'empty' | 'address' | 'length' | 'hostBits' | 'mapped'

export type ParsedPrefix = { ok: true; prefix: Prefix; text: string } | { ok: false; fault: PrefixFault; meant?: string }

/** Reads an address; null if it is none, or has a zone. */
export function parseAddress(text: string): Address | null {
  if (text.includes(':')) return parseV6(text)
  const value = parseV4(text)
  return value === null ? null : { bits: 32, value }
}

function parseV4(text: string): bigint | null {
  const parts = text.split('.')
  if (parts.length !== 4) return null
  let value = 0n
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return null
    value = (value << 8n) | BigInt(part)
  }
  return value
}

function parseV6(text: string): Address | null {
  const halves = text.split('::')
  if (halves.length > 2) return null
  const left = groupsOf(halves[0] ?? '')
  const right = halves.length === 2 ? groupsOf(halves[1] ?? '') : []
  if (left === null || right === null) return null
  const missing = 8 - left.length - right.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null
  const groups = [...left, ...Array<number>(halves.length === 2 ? missing : 0).fill(0), ...right]
  return { bits: 128, value: groups.reduce((value, group) => (value << 16n) | BigInt(group), 0n) }
}

function groupsOf(text: string): number[] | null {
  if (text === '') return []
  const groups: number[] = []
  const parts = text.split(':')
  for (const [i, part] of parts.entries()) {
    if (i === parts.length - 1 && part.includes('.')) {
      const v4 = parseV4(part)
      if (v4 === null) return null
      groups.push(Number(v4 >> 16n), Number(v4 & 0xffffn))
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(parseInt(part, 16))
    } else {
      return null
    }
  }
  return groups
}

const mappedMarker = 0xffffn

function isMapped(a: Address): boolean {
  return a.bits === 128 && a.value >> 32n === mappedMarker
}

function mask(value: bigint, bits: number, length: number): bigint {
  const host = BigInt(bits - length)
  return (value >> host) << host
}

/** Reads an address or a CIDR block; a fault says what is meant where that is clear. */
export function parsePrefix(given: string): ParsedPrefix {
  const text = given.trim()
  if (text === '') return { ok: false, fault: 'empty' }
  const slash = text.indexOf('/')
  let address = parseAddress(slash < 0 ? text : text.slice(0, slash))
  if (!address) return { ok: false, fault: 'address' }
  const lengthText = slash < 0 ? String(address.bits) : text.slice(slash + 1)
  if (!/^(0|[1-9]\d{0,2})$/.test(lengthText) || Number(lengthText) > address.bits) return { ok: false, fault: 'length' }
  let length = Number(lengthText)
  if (isMapped(address)) {
    if (length < 96) return { ok: false, fault: 'mapped' }
    address = { bits: 32, value: address.value & 0xffffffffn }
    length -= 96
  }
  const masked = mask(address.value, address.bits, length)
  const prefix: Prefix = { bits: address.bits, value: masked, length }
  if (masked !== address.value) return { ok: false, fault: 'hostBits', meant: formatPrefix(prefix) }
  return { ok: true, prefix, text: formatPrefix(prefix) }
}

/** Reports whether the prefix has the address; a mapped one counts as IPv4. */
export function contains(prefix: Prefix, address: Address): boolean {
  const a: Address = isMapped(address) ? { bits: 32, value: address.value & 0xffffffffn } : address
  return a.bits === prefix.bits && mask(a.value, a.bits, prefix.length) === prefix.value
}

/** Writes a prefix: CIDR, canonical as in RFC 5952. */
export function formatPrefix(p: Prefix): string {
  return `${formatAddress(p)}/${p.length}`
}

/** Writes an address, IPv6 as in RFC 5952. */
export function formatAddress(a: Address): string {
  if (a.bits === 32) return [24n, 16n, 8n, 0n].map((shift) => (a.value >> shift) & 255n).join('.')
  const groups = Array.from({ length: 8 }, (_, i) => Number((a.value >> BigInt(112 - 16 * i)) & 0xffffn))
  const run = longestZeros(groups)
  const hex = (part: number[]) => part.map((group) => group.toString(16)).join(':')
  if (run.length < 2) return hex(groups)
  return `${hex(groups.slice(0, run.start))}::${hex(groups.slice(run.start + run.length))}`
}

function longestZeros(groups: number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 }
  for (let i = 0; i < groups.length; i++) {
    let length = 0
    while (groups[i + length] === 0) length++
    if (length > best.length) best = { start: i, length }
  }
  return best
}

/** Shows a prefix of one address as that address. */
export function shortPrefix(text: string): string {
  return text.replace(/^([\d.]+)\/32$/, '$1').replace(/^([0-9a-f:.]+)\/128$/i, '$1')
}

/** The network that an address is usually blocked or allowed with: /24 or /64. */
export function networkOf(text: string): string | null {
  const address = parseAddress(text)
  if (!address) return null
  const length = address.bits === 32 ? 24 : 64
  return formatPrefix({ bits: address.bits, value: mask(address.value, address.bits, length), length })
}

export type SearchKind = 'nothing' | 'network' | 'hash' | 'key' | 'text'

/** Says what somebody has typed or pasted into a search box. */
export function kindOfSearch(given: string): SearchKind {
  const text = given.trim()
  if (text === '') return 'nothing'
  if (/^[0-9a-f]{64}$/i.test(text)) return 'hash'
  const parsed = parsePrefix(text)
  if (parsed.ok || parsed.fault === 'hostBits') return 'network'
  const bare = text.replace(/^bearer\s+/i, '')
  if (!bare.includes('…') && /^\S{24,}$/.test(bare) && /\d/.test(bare) && /[a-z]/i.test(bare)) return 'key'
  return 'text'
}
