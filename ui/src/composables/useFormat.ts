import { computed } from 'vue'
import { currentLocale, t } from '@/i18n'
import { now } from './useNow'

const formats = computed(() => {
  const locale = currentLocale()
  return {
    number: new Intl.NumberFormat(locale),
    short: new Intl.NumberFormat(locale, { notation: 'compact', maximumFractionDigits: 1 }),
    percent: new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 0, signDisplay: 'exceptZero' }),
    relative: new Intl.RelativeTimeFormat(locale, { numeric: 'auto', style: 'short' }),
    dateTime: new Intl.DateTimeFormat(locale, {
      year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23',
    }),
    clock: new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }),
    minute: new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }),
    hour: new Intl.DateTimeFormat(locale, { month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }),
    day: new Intl.DateTimeFormat(locale, { month: 'short', day: 'numeric' }),
    date: new Intl.DateTimeFormat(locale, { year: 'numeric', month: 'short', day: 'numeric' }),
  }
})

// For comparing with logs: the same in every language, with the zone.
const exactParts = new Intl.DateTimeFormat('en', {
  year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit',
  fractionalSecondDigits: 3, hourCycle: 'h23', timeZoneName: 'longOffset',
})

function exact(at: Date): string {
  const part = Object.fromEntries(exactParts.formatToParts(at).map((one) => [one.type, one.value]))
  return `${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute}:${part.second}.${part.fractionalSecond} ${(part.timeZoneName ?? '').replace('GMT', 'UTC')}`
}

/** Chinese is written with a space between a number and its unit here; Intl has none. */
const spaced = (text: string) => text.replace(/(\d)(?=[\u4e00-\u9fff])/g, '$1 ')

const units: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
]

/** Reports whether a time of the API is one: Go's zero time is none. */
export function isTime(text: string | undefined | null): text is string {
  return !!text && !text.startsWith('0001-')
}

export const format = {
  number: (n: number) => formats.value.number.format(n),
  short: (n: number) => (Math.abs(n) < 10_000 ? formats.value.number.format(n) : formats.value.short.format(n)),
  percent: (ratio: number) => formats.value.percent.format(ratio),
  dateTime: (at: string | Date) => formats.value.dateTime.format(new Date(at)),
  exact: (at: string | Date) => exact(new Date(at)),
  clock: (at: string | Date) => formats.value.clock.format(new Date(at)),
  minute: (at: string | Date) => formats.value.minute.format(new Date(at)),
  hour: (at: string | Date) => formats.value.hour.format(new Date(at)),
  day: (at: string | Date) => formats.value.day.format(new Date(at)),
  date: (at: string | Date) => formats.value.date.format(new Date(at)),

  /** "5 min. ago" up to a month, the date beyond. */
  ago(at: string | Date): string {
    const seconds = (new Date(at).getTime() - now.value) / 1000
    if (Math.abs(seconds) < 45) return t('time.now')
    if (Math.abs(seconds) > 30 * 86_400) return formats.value.date.format(new Date(at))
    for (const [unit, size] of units) {
      if (Math.abs(seconds) >= size) return spaced(formats.value.relative.format(Math.trunc(seconds / size), unit))
    }
    return spaced(formats.value.relative.format(Math.sign(seconds), 'minute'))
  },

  /** As ago, but to the second within the last minute. */
  moment(at: string | Date): string {
    // A time that is read again is often younger than the tick of the clock.
    const seconds = Math.trunc((new Date(at).getTime() - Math.max(now.value, Date.now())) / 1000)
    return seconds <= -5 && seconds > -60 ? spaced(formats.value.relative.format(seconds, 'second')) : format.ago(at)
  },

  /** A length of time in the two largest units. */
  duration(seconds: number): string {
    const parts: string[] = []
    let rest = Math.max(0, Math.floor(seconds))
    for (const [unit, size] of [['day', 86_400], ['hour', 3_600], ['minute', 60], ['second', 1]] as const) {
      const n = Math.floor(rest / size)
      rest -= n * size
      if (n > 0 || (unit === 'second' && parts.length === 0)) {
        parts.push(spaced(new Intl.NumberFormat(currentLocale(), { style: 'unit', unit, unitDisplay: 'short' }).format(n)))
      }
      if (parts.length === 2) break
    }
    return parts.join(' ')
  },

  bytes(n: number): string {
    const names = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
    let i = 0
    while (n >= 1024 && i < names.length - 1) {
      n /= 1024
      i++
    }
    return `${new Intl.NumberFormat(currentLocale(), { maximumFractionDigits: i === 0 || n >= 100 ? 0 : 1 }).format(n)} ${names[i]}`
  },
}
