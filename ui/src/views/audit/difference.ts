/** One field of what an act changed. */
export interface Difference {
  field: string
  before?: string
  after?: string
}

/** The fields in which two values differ; those that are the same are left out where both are there. */
export function differences(before: unknown, after: unknown): Difference[] {
  const from = flatten(before)
  const to = flatten(after)
  return [...new Set([...from.keys(), ...to.keys()])].flatMap((field) => {
    const was = from.get(field)
    const is = to.get(field)
    if (was === is) return []
    return [{ field, ...(was === undefined ? {} : { before: was }), ...(is === undefined ? {} : { after: is }) }]
  })
}

/** What an act changed, in one line: the first fields of it. */
export function summaryOf(before: unknown, after: unknown): string {
  const fields = differences(before, after).filter((one) => !/^(?:bindings|hash|id)\b/.test(one.field)).slice(0, 4)
  return fields.map(({ field, before: was, after: is }) => {
    const text = was === undefined || is === undefined ? (is ?? `${was} → –`) : `${was} → ${is}`
    return `${field}: ${text.replace(/\n/g, ', ')}`
  }).join(' · ')
}

function flatten(value: unknown, at = '', into = new Map<string, string>()): Map<string, string> {
  if (value === undefined || value === null) return into
  if (Array.isArray(value)) {
    into.set(at || 'value', value.map(itemText).join('\n'))
  } else if (typeof value === 'object') {
    for (const [name, one] of Object.entries(value)) flatten(one, at ? `${at}.${name}` : name, into)
  } else {
    into.set(at || 'value', String(value as string | number | boolean))
  }
  return into
}

/** One of a list, in one line: of a record, what its fields say. */
function itemText(item: unknown): string {
  if (typeof item !== 'object' || item === null) return String(item)
  return [...flatten(item)].filter(([, text]) => text !== '').map(([field, text]) => `${field} ${text.replace(/\n/g, ', ')}`).join(', ')
}
