import type { Batch, Rows, Tidegate } from '@tidegate/client'

/** What came over the wire of late: for those who want to see it, and for the latency of the line. */

export interface Transaction {
  tx: string
  at: number
  /** From commit to screen, in milliseconds; null before it is there, where nobody looks, or while the clocks differ too much to say. */
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
  /** What has come and is not on the screen yet: which transaction, and when it was committed. */
  #undrawn = new Map<string, number>()
  #frame = 0
  /** What was committed before is caught up with, and says nothing of the line. */
  #liveSince = Infinity

  constructor({ status }: Tidegate) {
    status.subscribe(({ state }) => {
      if (state !== 'live') this.#liveSince = Infinity
      else if (this.#liveSince === Infinity) this.#liveSince = Date.now()
    })
    // A page that nobody looks at draws nothing: when it is looked at again, that says nothing of the line.
    document.addEventListener('visibilitychange', () => this.#undrawn.clear())
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
      this.#transactions = [{ tx, at: Date.now(), latency: null, touched: [touched] }, ...this.#transactions].slice(0, KEPT)
      this.#await(tx, Date.parse(committedAt))
    }
    this.#soon()
  }

  #soon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      for (const listener of this.#listeners) listener()
    }, TELL_MS)
  }

  /** Has it measured once it is on the screen, if it says anything of the line. */
  #await(tx: string, committed: number): void {
    const ahead = committed - clock()
    if (document.hidden || committed - this.#ahead < this.#liveSince || Math.abs(ahead) > CREDIBLE_MS) return
    this.#ahead = Math.max(this.#ahead, ahead)
    this.#undrawn.set(tx, committed)
    // Views draw in the next frame. A task behind it comes when that has been painted.
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0
      const drawn = [...this.#undrawn]
      setTimeout(() => this.#measure(drawn))
    })
  }

  #measure(drawn: readonly (readonly [tx: string, committed: number])[]): void {
    const now = clock()
    const latencies = new Map<string, number>()
    for (const [tx, committed] of drawn) if (this.#undrawn.delete(tx)) latencies.set(tx, now - committed + this.#ahead)
    if (latencies.size === 0) return
    this.#samples = [...this.#samples, ...latencies.values()].slice(-SAMPLES)
    this.#transactions = this.#transactions.map((transaction) => ({ ...transaction, latency: latencies.get(transaction.tx) ?? transaction.latency }))
    this.#soon()
  }
}

/** Milliseconds since 1970, and parts of them. */
const clock = () => performance.timeOrigin + performance.now()
