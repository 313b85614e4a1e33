import type { Column, Json, Wire } from './frames.js'

/** What becomes of values that JavaScript has no exact number or no exact time for. */
export interface Decode {
  /** `int8`: a `number` where it is exact, up to 2^53; beyond that it stays a string. Default `string`. */
  int8?: 'string' | 'number' | 'bigint'
  /** `numeric`: a `number` is rounded. Default `string`. */
  numeric?: 'string' | 'number'
  /** `timestamptz`, `timestamp`, `date`: a `Date` has milliseconds, the string microseconds. Default `string`. */
  time?: 'string' | 'date'
}

const identity = (row: Wire): Wire => row
const TIME = /^(timestamptz|timestamp|date)$/

/**
 * The decoder of rows with these columns. Of the key only `int8` is decoded: of the others two might become one.
 * What is no plain number or date in PostgreSQL either (`NaN`, `infinity`, years BC) stays its text.
 */
export function decoder(columns: readonly Column[], key: readonly string[], decode: Decode = {}): (row: Wire) => Wire {
  const steps = columns.flatMap(({ name, type }): [string, (text: string) => unknown][] => {
    const element = type.replace(/\[\]$/, '')
    const step = element === 'int8' || !key.includes(name) ? converter(element, decode) : undefined
    return step ? [[name, step]] : []
  })
  if (steps.length === 0) return identity
  return (row) => {
    for (const [name, step] of steps) if (Object.hasOwn(row, name)) row[name] = converted(row[name], step) as Json
    return row
  }
}

function converted(value: Json | undefined, step: (text: string) => unknown): unknown {
  if (Array.isArray(value)) return value.map((element) => converted(element, step))
  return typeof value === 'string' ? step(value) : value
}

function converter(type: string, { int8, numeric, time }: Decode): ((text: string) => unknown) | undefined {
  if (type === 'int8' && int8 === 'bigint') return BigInt
  if (type === 'int8' && int8 === 'number') return (text) => (Number.isSafeInteger(+text) ? +text : text)
  if (type === 'numeric' && numeric === 'number') return (text) => (Number.isFinite(+text) ? +text : text)
  if (TIME.test(type) && time === 'date') {
    return (text) => {
      // Without an offset it is a time of no particular place: taken as UTC, so that it is the same everywhere.
      const date = new Date(type === 'timestamp' ? `${text}Z` : text)
      return Number.isNaN(+date) ? text : date
    }
  }
  return undefined
}

/** The key as a Map has it: the value's text, or the JSON array of several texts. */
export function keyText(names: readonly string[], row: Record<string, unknown>): string {
  const texts = names.map((name) => {
    const value = row[name]
    return typeof value === 'object' ? JSON.stringify(value) : String(value)
  })
  return texts.length === 1 ? texts[0]! : JSON.stringify(texts)
}

const LSN = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i

/** `16/B374D848` as a number that can be compared; nothing if it is none. */
export function lsnOf(text: string): bigint | undefined {
  const parts = LSN.exec(text)
  return parts ? (BigInt(`0x${parts[1]}`) << 32n) | BigInt(`0x${parts[2]}`) : undefined
}
