import { expect, test } from 'vitest'
import { readPrefixes } from './prefixes'

test('reads a list however it is divided, each once', () => {
  expect(readPrefixes('10.0.0.1, 10.0.0.0/8;2001:db8::/32\n10.0.0.1/32')).toEqual({ prefixes: ['10.0.0.1/32', '10.0.0.0/8', '2001:db8::/32'], fault: '', any: false })
  expect(readPrefixes(' \n ')).toEqual({ prefixes: [], fault: '', any: false })
  expect(readPrefixes('::/0').any).toBe(true)
})

test('names what is wrong', () => {
  expect(readPrefixes('10.0.0.1 10.0.0.1/8 nonsense').fault).toMatch(/^10\.0\.0\.1\/8: .*10\.0\.0\.0\/8/)
})
