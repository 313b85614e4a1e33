import type { Definition, Unit } from '../api/tables'
import { number } from '../design/texts'

/** Values as people read them. */

export const MINUTE = 60
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

const SHARE = new Intl.NumberFormat('en', { style: 'percent', maximumFractionDigits: 1 })
const COARSE = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })

export function amount(value: number, unit: Unit): string {
  if (unit === 'seconds') return value < 0 ? `−${span(-value)}` : span(value)
  return unit === 'share' ? SHARE.format(value) : number(value)
}

/** By the largest unit of which there is one, as it would be said: `3.2 d`, `5 h`, `40 min`. */
export function span(seconds: number): string {
  if (Math.round(seconds) < MINUTE) return `${COARSE.format(seconds)} s`
  if (Math.round(seconds / MINUTE) < 60) return `${COARSE.format(seconds / MINUTE)} min`
  if (Math.round(seconds / HOUR) < 24) return `${few(seconds / HOUR)} h`
  return `${few(seconds / DAY)} d`
}

/** With a decimal as long as that tells something. */
const few = (count: number) => (count < 9.95 ? number(count) : COARSE.format(count))

/** Whether the values of several boards make one together: of medians, shares and means the sum says nothing. */
export const isSummed = ({ unit }: Pick<Definition, 'unit'>): boolean => unit !== 'seconds' && unit !== 'share'

/** In what people write a value down, and how much of the measure's own unit that is. */
export function writtenIn(unit: Unit): { name: string; factor: number } {
  if (unit === 'seconds') return { name: 'hours', factor: HOUR }
  return unit === 'share' ? { name: '%', factor: 0.01 } : { name: '', factor: 1 }
}

const WHOLE = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000]

/** Steps of an axis. */
export function steps(unit: Unit): number[] {
  if (unit === 'share') return [0.01, 0.02, 0.05, 0.1, 0.25]
  if (unit === 'number') return [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, ...WHOLE]
  if (unit !== 'seconds') return WHOLE
  const of = (length: number, counts: number[]) => counts.map((count) => count * length)
  return [...of(1, [1, 5, 10, 30]), ...of(MINUTE, [1, 5, 10, 30]), ...of(HOUR, [1, 2, 4, 12]), ...of(DAY, [1, 2, 5, 10, 20, 50, 100, 200])]
}
