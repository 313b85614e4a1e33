import type { Column } from './frames.js'

interface Part {
  readonly name: string
  readonly sign: 1 | -1
  readonly nullsFirst: boolean
}

/** What `at desc nulls last, id` says. */
function partsOf(orderBy: string): Part[] {
  return orderBy.split(',').flatMap((part) => {
    const name = /^\s*(?:"((?:[^"]|"")+)"|(\w+))/.exec(part)
    if (!name) return []
    const descends = /\sdesc\b/i.test(part)
    return {
      name: name[1]?.replaceAll('""', '"') ?? name[2]!.toLowerCase(),
      sign: descends ? -1 : 1,
      // As PostgreSQL has it where nothing is said: NULLs are larger than all others.
      nullsFirst: /\snulls\s+first\b/i.test(part) || (descends && !/\snulls\s+last\b/i.test(part)),
    }
  })
}

/** The columns that an order names. */
export const orderColumns = (orderBy = ''): string[] => partsOf(orderBy).map(({ name }) => name)

/** Compares as the snapshot's order does; none where that cannot be told here, as of texts, whose order is the collation's. */
export function comparator<R>(orderBy: string | undefined, columns: readonly Column[]): ((a: R, b: R) => number) | undefined {
  const steps: ((a: R, b: R) => number)[] = []
  for (const { name, sign, nullsFirst } of partsOf(orderBy ?? '')) {
    const type = columns.find((column) => column.name === name)?.type ?? ''
    const isNumber = /^(int[248]|float[48]|numeric)$/.test(type)
    if (!isNumber && !/^(timestamptz|timestamp|date)$/.test(type)) return undefined
    const of = (row: R) => {
      const value = (row as Record<string, unknown>)[name] ?? null
      return value === null ? null : isNumber ? Number(value) : timeText(value)
    }
    steps.push((a, b) => {
      const [left, right] = [of(a), of(b)]
      if (left === null || right === null) return left === right ? 0 : (left === null) === nullsFirst ? -1 : 1
      return left < right ? -sign : left > right ? sign : 0
    })
  }
  return steps.length > 0 ? (a, b) => steps.reduce((order, step) => order || step(a, b), 0) : undefined
}

/** A time as a text that compares as it does: fractions of a second have any number of digits. */
function timeText(value: unknown): string {
  const [whole = '', fraction = ''] = (value instanceof Date ? value.toISOString() : String(value)).replace(/Z$/, '').split('.')
  return `${whole}.${fraction.padEnd(6, '0')}`
}
