import type { Batch, Rows, Tidegate } from '@tidegate/client'

/** What came over the wire of late: for those who want to see it, and for the latency of the line. */

export interface Transaction {
  tx: string
  at: number
  /** From commit to screen, in milliseconds; null while the clocks differ too much to say. */
  latency: number | null
  touched: { table: string; inserted: number; updated: number; deleted: number }[]
}

const KEPT = 40
const SAMPLES = 21
/** Figures that change faster nobody reads. */
const TELL_MS = 250
/** Beyond this a delay says more about two clocks than about the line. */
const CREDIBLE_MS = 20_000

export class Wire {
  #transactions: readonly Transaction[] = []
  #samples: number[] = []
  /** How much the server's clock is ahead at least: nothing arrives before it was committed. */
  #ahead = 0
  #listeners = new Set<() => void>()
  #timer: ReturnType<typeof setTimeout> | undefined
  /** What was committed before is caught up with, and says nothing of the line. */
  #liveSince = Infinity

  constructor({ status }: Tidegate) {
    status.subscribe(({ state }) => {
      if (state !== 'live') this.#liveSince = Infinity
      else if (this.#liveSince === Infinity) this.#liveSince = Date.now()
    })
  }

  get transactions(): readonly Transaction[] {
    return this.#transactions
  }

  /** The median of the last ones. */
  get latency(): number | null {
    if (this.#samples.length === 0) return null
    const sorted = [...this.#samples].sort((a, b) => a - b)
    return sorted[Math.floor(sorted.length / 2)] ?? null
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Follows rows for as long as somebody shows them. */
  follow<R extends object>(rows: Rows<R>, table: string): () => void {
    return rows.subscribe((_, batch) => this.#take(table, batch))
  }

  #take<R extends object>(table: string, { reset, changes, tx, committedAt }: Batch<R>): void {
    if (reset || changes.length === 0 || !tx || !committedAt) return
    const touched = { table, inserted: 0, updated: 0, deleted: 0 }
    for (const { op } of changes) {
      if (op === 'insert') touched.inserted += 1
      else if (op === 'update') touched.updated += 1
      else touched.deleted += 1
    }
    const known = this.#transactions.find((transaction) => transaction.tx === tx)
    if (known) {
      if (known.touched.some((other) => other.table === table)) return
      const more = { ...known, touched: [...known.touched, touched] }
      this.#transactions = this.#transactions.map((transaction) => (transaction === known ? more : transaction))
    } else {
      const latency = this.#measure(committedAt)
      this.#transactions = [{ tx, at: Date.now(), latency, touched: [touched] }, ...this.#transactions].slice(0, KEPT)
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      for (const listener of this.#listeners) listener()
    }, TELL_MS)
  }

  #measure(committedAt: string): number | null {
    if (Date.parse(committedAt) - this.#ahead < this.#liveSince) return null
    const raw = performance.timeOrigin + performance.now() - Date.parse(committedAt)
    if (document.hidden || raw > CREDIBLE_MS || raw < -CREDIBLE_MS) return null
    this.#ahead = Math.max(this.#ahead, -raw)
    const latency = raw + this.#ahead
    this.#samples = [...this.#samples, latency].slice(-SAMPLES)
    return latency
  }
}
