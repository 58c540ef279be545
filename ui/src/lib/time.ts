export const spans = ['15m', '1h', '6h', '24h', '7d', '30d', '90d'] as const
export type Span = (typeof spans)[number]

const unitMs = { m: 60_000, h: 3_600_000, d: 86_400_000 }

export function isSpan(text: string): text is Span {
  return (spans as readonly string[]).includes(text)
}

/** How long a span is, in milliseconds. */
export function spanMs(span: Span): number {
  return Number(span.slice(0, -1)) * unitMs[span.slice(-1) as keyof typeof unitMs]
}

/** When a span up to now began, as the API takes it. */
export function sinceSpan(span: string, from = Date.now()): string | undefined {
  return isSpan(span) ? new Date(from - spanMs(span)).toISOString() : undefined
}

/** A time as <input type="datetime-local"> has it. */
export function toLocalInput(at: string | undefined): string {
  if (!at) return ''
  const date = new Date(at)
  if (Number.isNaN(date.getTime())) return ''
  const pad = (n: number) => String(n).padStart(2, '0')
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}T${pad(date.getHours())}:${pad(date.getMinutes())}`
}

/** And back; nothing for what is no time. */
export function fromLocalInput(text: string): string | undefined {
  const date = new Date(text)
  return text === '' || Number.isNaN(date.getTime()) ? undefined : date.toISOString()
}
