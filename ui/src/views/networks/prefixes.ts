import { parsePrefix } from '@/lib/ip'
import { t } from '@/i18n'

/** Reads addresses and CIDR blocks with spaces, commas or lines between; fault says what is wrong with the first that is none. */
export function readPrefixes(text: string): { prefixes: string[]; fault: string; any: boolean } {
  const prefixes: string[] = []
  for (const part of text.split(/[\s,;]+/).filter(Boolean)) {
    const parsed = parsePrefix(part)
    if (!parsed.ok) return { prefixes: [], fault: `${part}: ${t(`rules.faults.${parsed.fault}`, { meant: parsed.meant ?? '' })}`, any: false }
    if (!prefixes.includes(parsed.text)) prefixes.push(parsed.text)
  }
  return { prefixes, fault: '', any: prefixes.some((one) => one.endsWith('/0')) }
}
