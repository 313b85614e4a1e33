import type uPlot from 'uplot'
import type { FlowPoint, Resolution, Series } from '../api/tables'
import { DAY, HOUR, MINUTE } from './units'

/** What was measured in the past, as plots take it. */

export type Period = 'day' | 'week' | 'month' | 'year'

const LENGTHS: Record<Period, number> = { day: DAY, week: 7 * DAY, month: 30 * DAY, year: 365 * DAY }

/** How fine a period can be looked at; at first by the first. */
export const RESOLUTIONS: Record<Period, readonly [Resolution, ...Resolution[]]> = {
  day: ['raw', 'hour'],
  week: ['hour', 'day'],
  month: ['hour', 'day'],
  year: ['hour', 'day', 'month'],
}

/**
 * From when to when, up to the end of this hour: within it the question stays the same, and so may the answer. What is taken as
 * it came has another one each minute.
 */
export function windowOf(period: Period, resolution: Resolution, now: number): { from: string; to: string } {
  const step = resolution === 'raw' ? MINUTE : HOUR
  const to = Math.ceil(now / 1_000 / step) * step
  const told = (seconds: number) => new Date(seconds * 1_000).toISOString().replace('.000Z', 'Z')
  return { from: told(to - LENGTHS[period]), to: told(to) }
}

/** All series over the same moments. Told is where they changed: between two of its points each stayed as it was. */
export function aligned(series: readonly Series[]): uPlot.AlignedData {
  const moments = [...new Set(series.flatMap(({ points }) => points.map(([at]) => at)))].sort((a, b) => a - b)
  const lines = series.map(({ points }) => {
    const end = points.at(-1)?.[0] ?? -Infinity
    let told = 0
    return moments.map((at) => {
      while ((points[told]?.[0] ?? Infinity) <= at) told += 1
      return at > end ? null : (points[told - 1]?.[1] ?? null)
    })
  })
  return [moments, ...lines]
}

/**
 * The same up to now, where the series of `items` come to `values`. What has none any more, as a span when nothing was done for
 * long, ends where it was told last.
 */
export function upToNow(data: uPlot.AlignedData, items: readonly string[], values: ReadonlyMap<string, number>, now: number): uPlot.AlignedData {
  const [moments, ...lines] = data
  const last = moments.at(-1)
  if (last === undefined || !items.some((item) => values.has(item))) return data
  const held = lines.map((line, index) => {
    const value = values.get(items[index] ?? '')
    if (value === undefined) return [...line, null]
    const end = line.findLastIndex((value) => value !== null)
    return [...Array.from(line, (told, at) => (at > end && end >= 0 ? line[end] : told)), value]
  })
  // Whose clock is behind the server's sees it all the same.
  return [[...moments, Math.max(now, last + 1)], ...held]
}

/** What each line was at a moment: since when it was that, the data say. */
export function valuesAt([moments, ...lines]: uPlot.AlignedData, at: number): (number | null)[] {
  let [low, high] = [0, moments.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((moments[middle] ?? Infinity) <= at) low = middle + 1
    else high = middle
  }
  return lines.map((line) => line[low - 1] ?? null)
}

/** A flow, day by day. */
export interface Flow {
  days: readonly string[]
  /** The states from left to right, with how many were in them. */
  states: readonly { name: string; counts: readonly number[] }[]
}

/** In the order of the states of the last day. */
export function flowOf(points: readonly FlowPoint[]): Flow {
  const days = [...new Set(points.map(({ x }) => x))]
  const names = new Set([...points.filter(({ x }) => x === days.at(-1)), ...points].map(({ series }) => series))
  const counts = new Map(points.map(({ x, series, y }) => [JSON.stringify([x, series]), y]))
  return { days, states: [...names].map((name) => ({ name, counts: days.map((day) => counts.get(JSON.stringify([day, name])) ?? 0) })) }
}

/** Each state on top of those to its right: what is done lies at the bottom, and grows. */
export function stacked({ days, states }: Flow): uPlot.AlignedData {
  const below = days.map(() => 0)
  const tops: number[][] = []
  for (const { counts } of [...states].reverse()) {
    counts.forEach((count, index) => (below[index] = (below[index] ?? 0) + count))
    tops.unshift([...below])
  }
  return [days.map((_, index) => index), ...tops]
}

/** The part of the past that is looked at, in seconds since 1970. */
export interface View {
  min: number
  max: number
}

/** As near as one may look, in seconds. */
const NEAREST = HOUR / 4

/** The view nearer or farther by a factor, with what stands at `at` staying there. */
export function zoomed(view: View, whole: View, factor: number, at = (view.min + view.max) / 2): View {
  const length = Math.min(whole.max - whole.min, Math.max(Math.min(NEAREST, whole.max - whole.min), (view.max - view.min) * factor))
  const part = view.max > view.min ? (at - view.min) / (view.max - view.min) : 0.5
  return within({ min: at - length * part, max: at + length * (1 - part) }, whole)
}

/** The view so many seconds later, or earlier. */
export const moved = (view: View, whole: View, by: number): View => within({ min: view.min + by, max: view.max + by }, whole)

function within({ min, max }: View, whole: View): View {
  const over = Math.max(0, whole.min - min) - Math.max(0, max - whole.max)
  return { min: Math.max(whole.min, min + over), max: Math.min(whole.max, max + over) }
}

/** Days and months are those of UTC, hours those of the clock on the wall. */
export const isByDay = (resolution: Resolution): boolean => resolution === 'day' || resolution === 'month'

const IN_UTC = { timeZone: 'UTC' } as const
const BY_CLOCK = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const
const BY_DAY = { day: 'numeric', month: 'short' } as const
const format = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat('en', options)

const WITH_CLOCK = format({ weekday: 'short', ...BY_DAY, ...BY_CLOCK })
const FULL: Record<Resolution, Intl.DateTimeFormat> = {
  raw: WITH_CLOCK,
  hour: WITH_CLOCK,
  day: format({ weekday: 'short', ...BY_DAY, year: 'numeric', ...IN_UTC }),
  month: format({ month: 'long', year: 'numeric', ...IN_UTC }),
}

/** A moment in full, of an hour its beginning. */
export function momentName(at: number, resolution: Resolution): string {
  return FULL[resolution].format((resolution === 'hour' ? Math.floor(at / HOUR) * HOUR : at) * 1_000)
}

const axisOf = (zone: Intl.DateTimeFormatOptions) => ({ clock: format({ ...BY_CLOCK, ...zone }), day: format({ ...BY_DAY, ...zone }), month: format({ month: 'short', year: 'numeric', ...zone }) })
const [LOCAL_AXIS, UTC_AXIS] = [axisOf({}), axisOf(IN_UTC)]

/** Moments at an axis, whose steps are so long: as little of each as tells them apart. */
export function axisNames(moments: readonly number[], step: number, resolution: Resolution): string[] {
  const { clock, day, month } = isByDay(resolution) ? UTC_AXIS : LOCAL_AXIS
  return moments.map((at) => {
    if (step >= 28 * DAY) return month.format(at * 1_000)
    const time = clock.format(at * 1_000)
    return step >= DAY || time === '00:00' ? day.format(at * 1_000) : time
  })
}
