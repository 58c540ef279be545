import { describe, expect, it } from 'vitest'
import { contains, formatAddress, kindOfSearch, networkOf, parseAddress, parsePrefix, shortPrefix } from './ip'

describe('parsePrefix', () => {
  it.each([
    ['10.0.0.7', '10.0.0.7/32'],
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    [' 10.0.0.7 ', '10.0.0.7/32'],
    ['2001:DB8::1', '2001:db8::1/128'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1/128'],
    ['2001:db8::/32', '2001:db8::/32'],
    ['::/0', '::/0'],
    ['::1', '::1/128'],
    ['1::', '1::/128'],
    ['::ffff:10.0.0.1', '10.0.0.1/32'],
    ['::ffff:10.0.0.0/104', '10.0.0.0/8'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1/128'],
    ['1:2:3:4:5:6:0:8', '1:2:3:4:5:6:0:8/128'],
  ])('takes %s', (text, want) => {
    const got = parsePrefix(text)
    expect(got.ok && got.text).toBe(want)
  })

  it.each([
    ['', 'empty', undefined],
    ['10.0.0.1/8', 'hostBits', '10.0.0.0/8'],
    ['2001:db8::1/32', 'hostBits', '2001:db8::/32'],
    ['10.0.0.0/33', 'length', undefined],
    ['10.0.0.0/08', 'length', undefined],
    ['10.0.0.0/', 'length', undefined],
    ['2001:db8::/129', 'length', undefined],
    ['::ffff:0:0/90', 'mapped', undefined],
    ['10.0.0', 'address', undefined],
    ['10.0.0.256', 'address', undefined],
    ['010.0.0.1', 'address', undefined],
    ['1::2::3', 'address', undefined],
    ['1:2:3:4:5:6:7:8:9', 'address', undefined],
    ['1:2:3:4:5:6:7', 'address', undefined],
    ['1:2:3:4:5:6:7:8::', 'address', undefined],
    ['fe80::1%eth0', 'address', undefined],
    ['example.com', 'address', undefined],
  ])('refuses %s', (text, fault, meant) => {
    const got = parsePrefix(text)
    expect(got.ok ? 'ok' : [got.fault, got.meant]).toEqual([fault, meant])
  })
})

describe('contains', () => {
  it.each([
    ['10.0.0.0/8', '10.255.255.255', true],
    ['10.0.0.0/8', '11.0.0.0', false],
    ['10.0.0.7', '10.0.0.7', true],
    ['0.0.0.0/0', '255.255.255.255', true],
    ['0.0.0.0/0', '::1', false],
    ['::/0', '10.0.0.1', false],
    ['10.0.0.0/8', '::ffff:10.1.2.3', true],
    ['2001:db8::/32', '2001:db8:ffff::', true],
    ['2001:db8::/32', '2001:db9::', false],
  ])('%s of %s: %s', (prefix, address, want) => {
    const parsed = parsePrefix(prefix)
    const of = parseAddress(address)
    if (!parsed.ok || !of) throw new Error('not parsed')
    expect(contains(parsed.prefix, of)).toBe(want)
  })
})

it('writes addresses as they are read', () => {
  for (const text of ['0.0.0.0', '255.1.2.3', '::', '::1', '1::', '2001:db8::8:800:200c:417a', 'fe80::1:0:0:1']) {
    const address = parseAddress(text)
    expect(address && formatAddress(address)).toBe(text)
  }
})

it('shortens prefixes of one address', () => {
  expect(['10.0.0.7/32', '10.0.0.0/8', '::1/128', '::/0'].map(shortPrefix)).toEqual(['10.0.0.7', '10.0.0.0/8', '::1', '::/0'])
})

it('offers the network around an address', () => {
  expect(['10.1.2.3', '2001:db8:1:2:3::4', 'x'].map(networkOf)).toEqual(['10.1.2.0/24', '2001:db8:1:2::/64', null])
})

describe('kindOfSearch', () => {
  it.each([
    ['', 'nothing'],
    ['10.0.0.7', 'network'],
    ['10.0.0.1/8', 'network'],
    ['2001:db8::/32', 'network'],
    ['ab'.repeat(32), 'hash'],
    ['sk-testOnlyForTests0123456789', 'key'],
    ['Bearer sk-testOnlyForTests0123456789', 'key'],
    ['sk-te…10nu', 'text'],
    ['Build server', 'text'],
    ['nightly-report-of-the-data-team', 'text'],
  ])('%s is %s', (text, want) => expect(kindOfSearch(text)).toBe(want))
})
