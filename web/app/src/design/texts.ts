/** Small texts that are the same wherever they stand. */

export function initials(name: string): string {
  const words = name.trim().split(/\s+/)
  const last = words.length > 1 ? words.at(-1) : ''
  return `${words[0]?.charAt(0) ?? ''}${last?.charAt(0) ?? ''}`.toUpperCase()
}

const RELATIVE = new Intl.RelativeTimeFormat('en', { numeric: 'auto', style: 'short' })
const CLOCK = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })
const DAY = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short' })
const DUE_DAY = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short', timeZone: 'UTC' })
const LONG_DAY = new Intl.DateTimeFormat('en', { weekday: 'long', day: 'numeric', month: 'long' })
const NUMBER = new Intl.NumberFormat('en', { maximumFractionDigits: 1 })

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY_MS = 24 * HOUR

export function ago(at: string, now = Date.now()): string {
  const past = Math.max(0, now - Date.parse(at))
  if (past < MINUTE) return 'just now'
  if (past < HOUR) return RELATIVE.format(-Math.floor(past / MINUTE), 'minute')
  if (past < DAY_MS) return RELATIVE.format(-Math.floor(past / HOUR), 'hour')
  if (past < 7 * DAY_MS) return RELATIVE.format(-Math.floor(past / DAY_MS), 'day')
  return DAY.format(Date.parse(at))
}

export const clock = (at: string): string => CLOCK.format(Date.parse(at))
export const number = (value: number): string => NUMBER.format(value)

export function dayName(at: string, now = Date.now()): string {
  const days = Math.round((midnight(now) - midnight(Date.parse(at))) / DAY_MS)
  if (days === 0) return 'Today'
  if (days === 1) return 'Yesterday'
  return LONG_DAY.format(Date.parse(at))
}

/** A day that something is due is the same for everybody, wherever they are: it is kept as the end of that day in UTC, and read there. */
export const dueDay = (at: string): string => new Date(at).toISOString().slice(0, 10)
export const endOfDay = (day: string): string => `${day}T23:59:00.000Z`
export const dueName = (at: string): string => DUE_DAY.format(Date.parse(at))

/** Today, as the calendar on the wall has it. */
function today(now: number): number {
  const date = new Date(now)
  return Date.UTC(date.getFullYear(), date.getMonth(), date.getDate())
}

function midnight(at: number): number {
  return new Date(at).setHours(0, 0, 0, 0)
}

export interface Due {
  text: string
  tone: 'late' | 'soon' | 'later'
}

export function due(at: string, closed: boolean, now = Date.now()): Due {
  const days = Math.round((Date.parse(dueDay(at)) - today(now)) / DAY_MS)
  const text = days === 0 ? 'Today' : days === 1 ? 'Tomorrow' : days === -1 ? 'Yesterday' : dueName(at)
  if (closed) return { text, tone: 'later' }
  // What is not set to a day's end, by others than this page, may be late before the day is over.
  if (days < 0 || Date.parse(at) < now) return { text, tone: 'late' }
  return { text, tone: days <= 1 ? 'soon' : 'later' }
}

export const PRIORITIES = ['Low', 'Normal', 'Urgent'] as const
