import type { Column } from './frames.js'

/** The columns that `at desc, id` names. */
export function orderColumns(orderBy = ''): string[] {
  return orderBy.split(',').flatMap((part) => {
    const name = /^\s*(?:"((?:[^"]|"")+)"|(\w+))/.exec(part)
    return name ? (name[1]?.replaceAll('""', '"') ?? name[2]!.toLowerCase()) : []
  })
}

/** Compares as the snapshot's order does, as far as that can be told here: none where a column is not at hand, or is text. */
export function comparator<R>(orderBy: string | undefined, columns: readonly Column[]): ((a: R, b: R) => number) | undefined {
  const parts = (orderBy ?? '').split(',').map((part) => ({ name: orderColumns(part)[0], sign: /\sdesc\b/i.test(part) ? -1 : 1 }))
  const steps = parts.map(({ name, sign }) => {
    const type = columns.find((column) => column.name === name)?.type ?? ''
    if (!/^(int|float|numeric|timestamp|date)/.test(type)) return undefined
    const value: (value: unknown) => number | string = /^(int|float|numeric)/.test(type)
      ? Number
      : (value) => (value instanceof Date ? value.toISOString() : String(value))
    return (a: R, b: R) => {
      const [left, right] = [a, b].map((row) => value((row as Record<string, unknown>)[name!]))
      return left! < right! ? -sign : left! > right! ? sign : 0
    }
  })
  if (steps.includes(undefined)) return undefined
  return (a, b) => steps.reduce((order, step) => order || step!(a, b), 0)
}
