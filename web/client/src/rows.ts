import { call } from './call.js'
import { TidegateError } from './error.js'
import type { ChangeFrame, Column, ServerFrame, SubscribeFrame, Wire } from './frames.js'
import type { Link, Subscription } from './link.js'
import { comparator, orderColumns } from './order.js'
import { type SeenOptions, seen, type Write } from './seen.js'
import type { Keeper, Kept, Persistence } from './store.js'
import { type Decode, decoder, keyText } from './values.js'

/** A value of a filter's `$1`, `$2`, …: texts as PostgreSQL writes them, numbers, booleans, null, arrays of these. */
export type Param = string | number | boolean | null | Param[]

/** Which rows of a table, and how they are told. */
export interface RowsOptions {
  /** A boolean expression over the table's own columns: see «Filters» in docs/protocol.md. */
  where?: string
  params?: readonly Param[]
  /** Default: all that the role may read. The key is always among them. */
  columns?: readonly string[]
  /** The snapshot's order, as in `at desc`. Ties break by key. */
  orderBy?: string
  /** The most rows of the snapshot. Later changes cover every match: what no longer has its place in so many is dropped now and then. */
  limit?: number
  /** `false`: only what happens from now on. Changes are told, and no rows are held. */
  snapshot?: boolean
  /** `latest`: at most one change a key in `intervalMs`, the newest one. For values, not for history. */
  delivery?: 'every' | 'latest'
  intervalMs?: number
  /** `false`: not kept over a reload, though the client keeps what it can. */
  persist?: boolean
}

/** One row's change. */
export type RowChange<R> =
  | { readonly op: 'insert' | 'update'; readonly key: string; readonly row: R; readonly before?: R }
  | { readonly op: 'delete'; readonly key: string; readonly before?: R }

/** A row's change, or that all rows are others now: those of a snapshot, or none after a truncate. */
export type Change<R> = (RowChange<R> & { readonly tx?: string }) | { readonly op: 'reset'; readonly rows: ReadonlyMap<string, R> }

/** What a listener is told of at once: one transaction, or that all rows are others now (`reset`). */
export interface Batch<R> {
  readonly reset: boolean
  readonly changes: readonly RowChange<R>[]
  /** The transaction's id, as `pg_current_xact_id()::xid::text` gives it. Absent with `latest` and after a reset. */
  readonly tx?: string
  readonly committedAt?: string
  readonly lsn?: string
}

type Listener<R> = (rows: ReadonlyMap<string, R>, batch: Batch<R>) => void

/**
 * How it stands with the rows. `stale`: shown though they may be old, as after a reload or while the line is down. `live`: the
 * server tells them; of what was missed before, the last may be on its way.
 */
export type RowsState = 'idle' | 'loading' | 'stale' | 'live' | 'ended'

/** How long rows that nobody looks at are still followed: a view that is replaced by the next takes them over. */
const LINGER_MS = 1_000
/** How long they are kept after that, to go on from where they were. */
const FORGET_MS = 60_000
/** How long older rows may take to come. */
const PAGE_MS = 15_000
/** The most rows of a page. */
const PAGE_ROWS = 100_000
/** Changes that wait for a slow reader of `changes()`. Beyond it the rows of then take their place. */
const BACKLOG = 10_000
/** Transactions by which a write is known to have come round before anybody asked. */
const RECENT = 64

const RESET: Batch<never> = { reset: true, changes: [] }

/** Live rows of one table. Asked for while somebody listens. */
export class Rows<R extends object = Record<string, unknown>> implements Subscription {
  error: TidegateError | undefined

  #rows = new Map<string, R>()
  #copy: ReadonlyMap<string, R> | null = new Map()
  #state: RowsState = 'idle'
  #listeners = new Set<Listener<R>>()
  #failures = new Set<(error: TidegateError) => void>()
  #states = new Set<() => void>()
  #id: string | undefined
  #key: readonly string[] = ['id']
  #columns: readonly Column[] = []
  #decode: (row: Wire) => Wire = (row) => row
  #shape: string | undefined
  #cursor: string | undefined
  /** The rows of a snapshot that is not complete yet. */
  #arriving: Map<string, R> | null = null
  /** The changes of a transaction whose last frame is still to come. */
  #held: ChangeFrame[] = []
  #emptied = false
  #answered = false
  #last: Wire | undefined
  #paged = false
  #page: { resolve(page: { rows: R[]; last: boolean }): void; reject(error: TidegateError): void; timer: ReturnType<typeof setTimeout> } | undefined
  /** Of bounded rows whose values were decoded: those of order and key as they came. */
  #origins = new WeakMap<object, Wire>()
  #recent: string[] = []
  #timer: ReturnType<typeof setTimeout> | undefined
  #keeper: Keeper | undefined
  #loading: Promise<void> | undefined

  constructor(
    private readonly link: Link,
    readonly table: string,
    readonly options: RowsOptions,
    private readonly how: Decode | undefined,
    private readonly persistence: Persistence | undefined,
    private readonly name: string,
    /** Where it is found by who asks for the same. */
    private readonly home: Map<string, Rows<object>>,
  ) {
    // Whoever asked may never listen.
    this.#letBe()
  }

  get state(): RowsState {
    return this.#state
  }

  /** The rows of now, which stay as they are: another Map once something has changed. */
  get current(): ReadonlyMap<string, R> {
    return (this.#copy ??= new Map(this.#rows))
  }

  /**
   * Calls `listener` with the rows, at once if there are some, and then once a transaction. The Map is a live one, changed in
   * place: {@link current} is a copy that stays. `failed` is told why there will be no more. Returns how to stop.
   */
  subscribe(listener: Listener<R>, failed?: (error: TidegateError) => void): () => void {
    // One function may be here twice, and each time leave for itself.
    const own: Listener<R> = (rows, batch) => listener(rows, batch)
    const ownFailed = failed && ((error: TidegateError) => failed(error))
    this.#listeners.add(own)
    if (ownFailed) this.#failures.add(ownFailed)
    const leave = this.retain()
    if (this.#state === 'live' || this.#state === 'stale') call(own, this.#rows, RESET)
    return () => {
      this.#listeners.delete(own)
      if (ownFailed) this.#failures.delete(ownFailed)
      leave()
    }
  }

  /** Calls `listener` whenever {@link state} is another. Alone it asks for nothing. */
  watch(listener: () => void): () => void {
    this.#states.add(listener)
    return () => void this.#states.delete(listener)
  }

  /**
   * The rows (`reset`), then every change by itself. A reader that falls more than 10,000 changes behind is given the rows of
   * then instead. Ends with an error when the rows do.
   */
  async *changes(): AsyncGenerator<Change<R>, void, void> {
    let waiting: Change<R>[] = []
    let failure: TidegateError | undefined
    let wake = () => {}
    const stop = this.subscribe(
      (_, { reset, changes, tx }) => {
        if (reset || waiting.length + changes.length > BACKLOG) waiting = [{ op: 'reset', rows: this.current }]
        else for (const change of changes) waiting.push(tx === undefined ? change : { ...change, tx })
        wake()
      },
      (error) => {
        failure = error
        wake()
      },
    )
    try {
      for (;;) {
        const turn = waiting
        waiting = []
        yield* turn
        if (turn.length > 0) continue
        if (failure) throw failure
        await new Promise<void>((resolve) => (wake = resolve))
      }
    } finally {
      stop()
    }
  }

  /**
   * Older rows, behind the snapshot's last or the page's before, in the snapshot's order. They are the caller's: later
   * changes of theirs are told all the same.
   */
  async page(limit = 50): Promise<{ rows: R[]; last: boolean }> {
    if (!Number.isInteger(limit) || limit < 1 || limit > PAGE_ROWS) throw new TidegateError('bad_request', `a page has 1 to ${PAGE_ROWS} rows`)
    if (this.#page) throw new TidegateError('bad_request', 'one page at a time')
    if (this.#state !== 'live' || this.#id === undefined) throw new TidegateError('unavailable', 'there is no line now')
    const id = this.#id
    const after = this.#last
    if (!after) return { rows: [], last: true }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#pageFailed(new TidegateError('timeout', `no page within ${PAGE_MS} ms`)), PAGE_MS)
      this.#page = { resolve, reject, timer }
      if (!this.link.page(id, after, limit)) this.#pageFailed(new TidegateError('unavailable', 'there is no line now'))
    })
  }

  /** The key of a row, as the Map has it. */
  keyOf(row: R): string {
    return keyText(this.#key, row as Record<string, unknown>)
  }

  /** Resolves when a write of one's own has come round, whether it shows here or not: see {@link seen}. */
  seen(write: Write, options?: SeenOptions): Promise<void> {
    return seen(this.link, write, options, this)
  }

  /** Whether a transaction has been told here, lately. */
  showed(tx: string): boolean {
    return this.#recent.includes(tx)
  }

  /** Keeps the rows followed until what it returns is called. */
  retain(): () => void {
    this.#holders++
    clearTimeout(this.#timer)
    if (!this.home.has(this.name)) this.home.set(this.name, this as unknown as Rows<object>)
    if (this.#id === undefined) this.#begin()
    let held = true
    return () => {
      if (!held) return
      held = false
      if (--this.#holders === 0) this.#timer = setTimeout(() => this.#rest(), LINGER_MS)
    }
  }
  #holders = 0

  // --- what the link asks of it ---

  get waits(): boolean {
    return !this.#answered
  }

  opening(id: string): SubscribeFrame {
    const { where, params, columns, orderBy, limit, snapshot = true, delivery, intervalMs } = this.options
    const bounds = orderBy !== undefined || limit !== undefined
    const again = snapshot && bounds ? { order_by: orderBy, limit } : snapshot
    const place = this.#cursor !== undefined && { cursor: this.#cursor, shape: this.#shape }
    this.#answered = false
    return {
      type: 'subscribe',
      id,
      table: this.table,
      ...(where !== undefined && { where }),
      ...(params && { params }),
      ...(columns && { columns }),
      ...(delivery && { delivery }),
      ...(intervalMs !== undefined && { interval_ms: intervalMs }),
      // Bounds of a snapshot stay, in case that the cursor is too old; a plain wish for one does not.
      ...(!(place && again === true) && { snapshot: again }),
      ...place,
    }
  }

  take(frame: ServerFrame): void {
    switch (frame.type) {
      case 'subscribed':
        this.#described(frame.shape!, frame.key!, frame.columns!)
        this.#drop()
        this.#answered = frame.cursor !== undefined
        if (frame.cursor) {
          this.reach(frame.cursor)
          this.#be('live')
        } else this.#arriving = new Map()
        break
      case 'snapshot':
        this.#keepLast(frame.rows)
        for (const wire of frame.rows) this.#arriving?.set(keyText(this.#key, wire), this.#decoded(wire))
        if (frame.last) this.#replace(frame.cursor!)
        break
      case 'changes': {
        this.#held.push(...frame.changes)
        if (frame.tx && !frame.tx.last) break
        const { tx, lsn, cursor } = frame
        this.#apply({ lsn, ...(tx && { tx: tx.id, committedAt: tx.committed_at }) }, cursor)
        break
      }
      case 'truncate':
        this.#emptied = true
        this.#held = []
        // Changes of the same transaction follow where it has no cursor: together they are one step.
        if (frame.cursor) this.#apply({ lsn: frame.lsn }, frame.cursor)
        break
      case 'resync':
        // What is shown stays until the new snapshot is complete.
        this.#drop()
        this.#cursor = undefined
        this.#answered = false
        this.#be(this.#rows.size > 0 ? 'stale' : 'loading')
        // Where no rows are held there will be no new ones: something is left out from here to what comes next.
        if (this.options.snapshot === false) this.#tell(RESET)
        break
      case 'page': {
        this.#keepLast(frame.rows)
        this.#paged = true
        const page = this.#page
        this.#page = undefined
        clearTimeout(page?.timer)
        page?.resolve({ rows: frame.rows.map((wire) => this.#decode(wire) as R), last: frame.last })
        break
      }
      case 'error':
        this.#pageFailed(TidegateError.of(frame))
        break
    }
  }

  reach(cursor: string): void {
    this.#cursor = cursor
    this.#keeper?.touch()
  }

  cut(): void {
    this.#answered = false
    this.#drop()
    this.#pageFailed(new TidegateError('unavailable', 'the line was lost'))
    this.#be(this.#state === 'live' || this.#state === 'stale' ? 'stale' : 'loading')
  }

  fail(error: TidegateError): void {
    this.#id = undefined
    this.#pageFailed(error)
    this.error = error
    // What was not refused may be looked at on.
    const stays = error.code === 'closed' || error.code === 'refused'
    if (stays) void this.#keeper?.flush()
    else {
      this.#keeper?.forget()
      this.#rows.clear()
    }
    this.#keeper = undefined
    this.#cursor = undefined
    this.#copy = null
    this.#be('ended')
    if (!stays) this.#tell(RESET)
    for (const failed of [...this.#failures]) call(failed, error)
    this.#letBe()
  }

  // --- its own ---

  #begin(): void {
    this.error = undefined
    if (this.#state === 'idle' || this.#state === 'ended') this.#be('loading')
    const ask = () => {
      if (this.#holders > 0 && this.#id === undefined) this.#id = this.link.add(this)
    }
    if (this.#loading) void this.#loading.then(ask)
    else if (this.persistence && !this.#keeper && this.options.persist !== false && this.options.snapshot !== false) {
      const keeper = (this.#keeper = this.persistence.keeper(this.name, () => this.#kept))
      this.#loading = keeper.load().then((kept) => {
        this.#loading = undefined
        if (kept && this.#keeper === keeper && this.#state === 'loading') this.#recall(kept)
        ask()
      })
    } else ask()
  }

  /** Shows what was kept, until the server has told what came since. */
  #recall({ head: { shape, cursor, key, columns, last }, rows }: Kept): void {
    this.#described(shape, key, columns)
    this.#cursor = cursor
    this.#last = last
    this.#rows = new Map(rows as Iterable<[string, R]>)
    this.#copy = null
    this.#be('stale')
    this.#tell(RESET)
  }

  get #kept(): Kept | undefined {
    if (this.#cursor === undefined) return undefined
    const head = { cursor: this.#cursor, shape: this.#shape!, key: this.#key, columns: this.#columns, last: this.#last }
    return { head, rows: this.#rows }
  }

  #described(shape: string, key: readonly string[], columns: readonly Column[]): void {
    this.#shape = shape
    this.#key = key
    this.#columns = columns
    this.#decode = decoder(columns, key, this.how)
  }

  /** The last row's place goes back as it came when the next page is asked for. */
  #keepLast(rows: readonly Wire[]): void {
    const last = rows.at(-1)
    if (last) this.#last = this.#placeOf(last)
  }

  #placeOf(wire: Wire): Wire {
    return Object.fromEntries([...orderColumns(this.options.orderBy), ...this.#key].map((name) => [name, wire[name] ?? null]))
  }

  #decoded(wire: Wire): R {
    const place = this.options.limit !== undefined && this.how && this.#placeOf(wire)
    const row = this.#decode(wire) as R
    if (place) this.#origins.set(row, place)
    return row
  }

  #replace(cursor: string): void {
    const arriving = this.#arriving ?? new Map<string, R>()
    // A row that is as it was stays the same object: who draws it need not look at it again.
    for (const [key, row] of arriving) {
      const before = this.#rows.get(key)
      if (before && same(before, row)) arriving.set(key, before)
    }
    this.#rows = arriving
    this.#copy = null
    this.#arriving = null
    this.#answered = true
    this.#paged = false
    this.#cursor = cursor
    this.#keeper?.replace()
    this.#be('live')
    this.#tell(RESET)
  }

  #apply(about: Omit<Batch<R>, 'reset' | 'changes'>, cursor: string | undefined): void {
    const held = this.#held
    const reset = this.#emptied
    this.#drop()
    if (reset) this.#rows.clear()
    const changes = held.flatMap((change) => this.#change(change) ?? [])
    changes.push(...this.#trim())
    if (cursor) this.#cursor = cursor
    if (about.tx !== undefined && this.#recent.push(about.tx) > RECENT) this.#recent.shift()
    if (reset) this.#keeper?.replace()
    else this.#keeper?.change(changes)
    this.#tell({ ...about, reset, changes })
  }

  #change({ op, row, key: wireKey, unchanged }: ChangeFrame): RowChange<R> | undefined {
    const key = keyText(this.#key, wireKey ?? row!)
    if (this.options.snapshot === false) return op === 'delete' ? { op, key } : { op, key, row: this.#decode(row!) as R }
    const before = this.#rows.get(key)
    const was = before && { before }
    if (op === 'delete') {
      this.#rows.delete(key)
      return { op, key, ...was }
    }
    // Large values that did not change are named and not sent: without them a row is none.
    if (unchanged?.length && !before) return undefined
    const after = this.#decoded(row!)
    for (const name of unchanged ?? []) (after as Record<string, unknown>)[name] = (before as Record<string, unknown>)[name]
    this.#rows.set(key, after)
    return { op: before ? 'update' : 'insert', key, row: after, ...was }
  }

  /** Rows of a bounded snapshot do not grow without end. Whoever pages has more of them, and wants no gap before those. */
  #trim(): RowChange<R>[] {
    const { limit, orderBy } = this.options
    if (limit === undefined || this.#paged || this.#rows.size <= 2 * limit + RECENT) return []
    const order = comparator<R>(orderBy, this.#columns)
    if (!order) return []
    const sorted = [...this.#rows].sort((a, b) => order(a[1], b[1]))
    // Whose places are the same go together: which of them a page would begin behind is not known here.
    let end = limit
    while (end < sorted.length && order(sorted[end - 1]![1], sorted[end]![1]) === 0) end++
    const [, last] = sorted[end - 1]!
    this.#last = this.#origins.get(last) ?? this.#placeOf(last as Wire)
    return sorted.slice(end).map(([key, before]) => {
      this.#rows.delete(key)
      return { op: 'delete', key, before }
    })
  }

  #tell(batch: Batch<R>): void {
    this.#copy = null
    for (const listener of [...this.#listeners]) call(listener, this.#rows, batch)
  }

  #be(state: RowsState): void {
    if (state === this.#state) return
    this.#state = state
    for (const listener of [...this.#states]) call(listener)
  }

  #drop(): void {
    this.#arriving = null
    this.#held = []
    this.#emptied = false
  }

  #pageFailed(error: TidegateError): void {
    const page = this.#page
    this.#page = undefined
    clearTimeout(page?.timer)
    page?.reject(error)
  }

  #rest(): void {
    if (this.#id !== undefined) this.link.remove(this.#id)
    this.#id = undefined
    this.#drop()
    this.#pageFailed(new TidegateError('closed', 'nobody listens any more'))
    void this.#keeper?.flush()
    if (this.#state === 'live') this.#be('stale')
    this.#letBe()
  }

  /** Nobody listens: it is forgotten in a while. */
  #letBe(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#forget(), FORGET_MS)
    // It keeps no program from ending.
    ;(this.#timer as { unref?(): void }).unref?.()
  }

  #forget(): void {
    if (this.#holders > 0) return
    this.#rows = new Map()
    this.#cursor = undefined
    this.#keeper = undefined
    this.#copy = null
    this.#be('idle')
    if (this.home.get(this.name) === (this as unknown)) this.home.delete(this.name)
  }
}

const same = (a: object, b: object): boolean => {
  const text = (row: object) => JSON.stringify(row, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))
  return text(a) === text(b)
}
