import type { RowChange, RowsOptions } from './batch.js'
import { TidegateError } from './error.js'
import type { Column, Wire } from './frames.js'
import { comparator, orderColumns } from './order.js'
import { keyText } from './values.js'

/** How long older rows may take to come. */
const PAGE_MS = 15_000
/** The most rows of a page, as the server has it. */
const PAGE_ROWS = 100_000
/** How many rows more than twice its bound a bounded snapshot grows to before it is cut. */
const SLACK = 64

export interface Page<R> {
  readonly rows: R[]
  /** Whether there are none behind these. */
  readonly last: boolean
}

/** Where a bounded snapshot ends: what is behind it is read page by page, and what has come to be behind it is dropped. */
export class Older<R extends object> {
  /** The values of order and key of the last row that is held, as they came. */
  last: Wire | undefined
  #asked: { resolve(page: Page<R>): void; reject(error: TidegateError): void; timer: ReturnType<typeof setTimeout> } | undefined
  /** Of rows whose values were decoded, those of order and key as they came. */
  #places = new WeakMap<R, Wire>()

  constructor(private readonly options: RowsOptions) {}

  placeOf(wire: Wire, key: readonly string[]): Wire | undefined {
    return this.options.limit === undefined ? undefined : this.#pick(wire, key)
  }

  note(row: R, place: Wire): R {
    this.#places.set(row, place)
    return row
  }

  keep(rows: readonly Wire[], key: readonly string[]): void {
    const last = rows.at(-1)
    if (last) this.last = this.#pick(last, key)
  }

  /** @param after a row: behind it, and not behind the last that is held. */
  async ask(limit: number, from: R | undefined, key: readonly string[], stands: boolean, send: (after: Wire) => boolean): Promise<Page<R>> {
    if (!Number.isInteger(limit) || limit < 1 || limit > PAGE_ROWS) throw new TidegateError('bad_request', `a page has 1 to ${PAGE_ROWS} rows`)
    if (this.#asked) throw new TidegateError('bad_request', 'one page at a time')
    const after = from ? (this.#places.get(from) ?? this.#pick(from as Wire, key)) : this.last
    // Of an empty snapshot there is nothing older.
    if (stands && !after) return { rows: [], last: true }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.fail(new TidegateError('timeout', `no page within ${PAGE_MS} ms`)), PAGE_MS)
      this.#asked = { resolve, reject, timer }
      if (!stands || !send(after!)) this.fail(new TidegateError('unavailable', 'the line was lost'))
    })
  }

  come(rows: R[], last: boolean): void {
    this.#settle()?.resolve({ rows, last })
  }

  fail(error: TidegateError): void {
    this.#settle()?.reject(error)
  }

  /** Drops what is behind the bound once there is much of it, and tells of it. */
  trim(rows: Map<string, R>, columns: readonly Column[], key: readonly string[]): RowChange<R>[] {
    const { limit, orderBy } = this.options
    if (limit === undefined || rows.size <= 2 * limit + SLACK) return []
    const order = comparator<R>(orderBy, columns)
    if (!order) return []
    const sorted = [...rows.values()].sort(order)
    // Whose places are the same go together: which of them a page would begin behind is not known here.
    let end = limit
    while (end < sorted.length && order(sorted[end - 1]!, sorted[end]!) === 0) end++
    const last = sorted[end - 1]!
    this.last = this.#places.get(last) ?? this.#pick(last as Wire, key)
    return sorted.slice(end).map((before) => {
      const name = keyText(key, before as Wire)
      rows.delete(name)
      return { op: 'delete', key: name, before, behind: true }
    })
  }

  #settle() {
    const asked = this.#asked
    this.#asked = undefined
    clearTimeout(asked?.timer)
    return asked
  }

  #pick(wire: Wire, key: readonly string[]): Wire {
    return Object.fromEntries([...orderColumns(this.options.orderBy), ...key].map((name) => [name, wire[name] ?? null]))
  }
}
