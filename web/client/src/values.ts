import type { Column, Json, Wire } from './frames.js'

/** What becomes of values that JavaScript has no exact number or no exact time for. */
export interface Decode {
  /** `int8`: beyond 2^53 a `number` is rounded. Default `string`. */
  int8?: 'string' | 'number' | 'bigint'
  /** `numeric`: a `number` is rounded. Default `string`. */
  numeric?: 'string' | 'number'
  /** `timestamptz`, `timestamp`, `date`: a `Date` has milliseconds, the string microseconds. Default `string`. */
  time?: 'string' | 'date'
}

const identity = (row: Wire): Wire => row
const TIMES = new Set(['timestamptz', 'timestamp', 'date'])

/**
 * The decoder of rows with these columns. Key columns of a time type stay strings: two of them can be within one millisecond.
 * What is no plain number or date in PostgreSQL either (`NaN`, `infinity`, years BC) stays its text.
 */
export function decoder(columns: readonly Column[], key: readonly string[], decode: Decode = {}): (row: Wire) => Wire {
  const steps = columns.flatMap(({ name, type }): [string, (text: string) => unknown][] => {
    const element = type.replace(/^_|\[\]$/g, '')
    const step = TIMES.has(element) && key.includes(name) ? undefined : converter(element, decode)
    return step ? [[name, step]] : []
  })
  if (steps.length === 0) return identity
  return (row) => {
    for (const [name, step] of steps) if (name in row) row[name] = converted(row[name], step) as Json
    return row
  }
}

function converted(value: Json | undefined, step: (text: string) => unknown): unknown {
  if (Array.isArray(value)) return value.map((element) => converted(element, step))
  return typeof value === 'string' ? step(value) : value
}

function converter(type: string, { int8, numeric, time }: Decode): ((text: string) => unknown) | undefined {
  if (type === 'int8' && int8 === 'bigint') return BigInt
  if (type === 'int8' && int8 === 'number') return Number
  if (type === 'numeric' && numeric === 'number') return (text) => (Number.isFinite(+text) ? +text : text)
  if (TIMES.has(type) && time === 'date') {
    return (text) => {
      // Without an offset it is a time of no particular place: taken as UTC, so that it is the same everywhere.
      const date = new Date(type === 'timestamp' ? `${text}Z` : text)
      return Number.isNaN(+date) ? text : date
    }
  }
  return undefined
}

/** The key as a Map has it: the value's text, or the JSON array of several. */
export function keyText(names: readonly string[], row: Record<string, unknown>): string {
  return names.length === 1 ? String(row[names[0]!]) : JSON.stringify(names.map((name) => String(row[name])))
}

/** `16/B374D848` as a number that can be compared. */
export function lsnOf(text: string): bigint {
  const [high = '0', low = '0'] = text.split('/')
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`)
}
