import { TidegateError } from './error.js'
import type { ChangeFrame, Column, ServerFrame, SubscribeFrame, Wire } from './frames.js'
import type { Link, Subscription } from './link.js'
import { type Kept, type Store, Saver } from './store.js'
import { comparator, orderColumns } from './order.js'
import { type Decode, decoder, keyText } from './values.js'
import { type SeenOptions, seen, type Write } from './seen.js'

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

/** How it stands with the rows: `stale` are shown though they may be old, as after a reload or while the line is down. */
export type RowsState = 'idle' | 'loading' | 'stale' | 'live' | 'ended'

/** How long rows that nobody looks at are still followed: a view that is replaced by the next takes them over. */
const LINGER_MS = 1_000
/** How long they are kept after that, to go on from where they were. */
const FORGET_MS = 60_000
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
  #page: { resolve(page: { rows: R[]; last: boolean }): void; reject(error: TidegateError): void } | undefined
  #recent: string[] = []
  #timer: ReturnType<typeof setTimeout> | undefined
  #saver: Saver | undefined
  #loading: Promise<void> | undefined

  constructor(
    private readonly link: Link,
    readonly table: string,
    readonly options: RowsOptions,
    private readonly how: Decode | undefined,
    private readonly store: Store | undefined,
    private readonly name: string,
    private readonly forgotten: () => void,
  ) {}

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
    if (this.#state === 'live' || this.#state === 'stale') own(this.#rows, RESET)
    const leave = this.retain()
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
    if (this.#page) throw new TidegateError('bad_request', 'one page at a time')
    const { orderBy } = this.options
    const last = this.#last
    if (!last || this.#id === undefined) return { rows: [], last: true }
    const names = [...orderColumns(orderBy), ...this.#key]
    const after = Object.fromEntries(names.map((name) => [name, last[name] ?? null])) as Record<string, never>
    this.#paged = true
    return new Promise((resolve, reject) => {
      this.#page = { resolve, reject }
      if (!this.link.page(this.#id!, after, limit)) this.#pageFailed(new TidegateError('unavailable', 'there is no line now'))
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
    if (this.#id === undefined) this.#begin()
    let held = true
    return () => {
      if (!held) return
      held = false
      if (--this.#holders === 0) this.#timer = setTimeout(() => this.#rest(), LINGER_MS)
    }
  }
  #holders = 0

  /** Lets everybody go, and forgets the rows. */
  close(): void {
    this.#holders = 0
    clearTimeout(this.#timer)
    this.#leave()
    this.#forget()
  }

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
        for (const wire of frame.rows) this.#arriving!.set(keyText(this.#key, wire), this.#decode(wire) as R)
        if (frame.last) this.#replace(frame.cursor!)
        break
      case 'changes': {
        this.#held.push(...frame.changes)
        if (frame.tx && !frame.tx.last) break
        const { tx, lsn } = frame
        this.#apply({ lsn, ...(tx && { tx: tx.id, committedAt: tx.committed_at }) })
        if (frame.cursor) this.reach(frame.cursor)
        break
      }
      case 'truncate':
        this.#emptied = true
        this.#held = []
        // Changes of the same transaction follow where it has no cursor: together they are one step.
        if (!frame.cursor) break
        this.#apply({ lsn: frame.lsn })
        this.reach(frame.cursor)
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
        const page = this.#page
        this.#page = undefined
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
    this.#saver?.reach(cursor)
  }

  cut(): void {
    this.#answered = false
    this.#drop()
    this.#pageFailed(new TidegateError('unavailable', 'the line was lost'))
    this.#be(this.#state === 'live' || this.#state === 'stale' ? 'stale' : 'loading')
  }

  fail(error: TidegateError): void {
    this.#id = undefined
    this.#cursor = undefined
    this.#pageFailed(error)
    this.error = error
    this.#be('ended')
    // What was not refused may be looked at on.
    if (error.code !== 'closed' && error.code !== 'refused') {
      this.#saver?.forget()
      this.#rows.clear()
      this.#tell(RESET)
    }
    for (const failed of [...this.#failures]) failed(error)
  }

  // --- its own ---

  #begin(): void {
    this.error = undefined
    if (this.#state === 'idle' || this.#state === 'ended') this.#be('loading')
    const ask = () => {
      if (this.#holders > 0 && this.#id === undefined) this.#id = this.link.add(this)
    }
    if (this.#loading) void this.#loading.then(ask)
    else if (this.store && this.options.persist !== false && this.options.snapshot !== false && !this.#saver) {
      this.#saver = new Saver(this.store, this.name)
      this.#loading = this.#saver.load().then((kept) => {
        this.#loading = undefined
        if (kept && this.#state === 'loading') this.#recall(kept)
        ask()
      })
    } else ask()
  }

  /** Shows what was kept, until the server has told what came since. */
  #recall({ rows, shape, cursor, key, columns, last }: Kept): void {
    this.#described(shape, key, columns)
    this.#cursor = cursor
    this.#last = last
    this.#rows = new Map(rows as Iterable<[string, R]>)
    this.#be('stale')
    this.#tell(RESET)
  }

  get #kept(): Omit<Kept, 'cursor'> {
    return { rows: this.#rows, shape: this.#shape!, key: this.#key, columns: this.#columns, last: this.#last }
  }

  #described(shape: string, key: readonly string[], columns: readonly Column[]): void {
    this.#shape = shape
    this.#key = key
    this.#columns = columns
    this.#decode = decoder(columns, key, this.how)
  }

  /** The last row goes back as it came when the next page is asked for. */
  #keepLast(rows: readonly Wire[]): void {
    if (rows.length > 0) this.#last = { ...rows.at(-1)! }
  }

  #replace(cursor: string): void {
    // A row that is as it was stays the same object: who draws it need not look at it again.
    for (const [key, row] of this.#arriving!) {
      const before = this.#rows.get(key)
      if (before && same(before, row)) this.#arriving!.set(key, before)
    }
    this.#rows = this.#arriving!
    this.#arriving = null
    this.#answered = true
    this.#paged = false
    this.#be('live')
    this.#saver?.replace(this.#kept)
    this.reach(cursor)
    this.#tell(RESET)
  }

  #apply(about: Omit<Batch<R>, 'reset' | 'changes'>): void {
    const held = this.#held
    const emptied = this.#emptied
    this.#drop()
    if (emptied) this.#rows.clear()
    const changes = held.map((change) => this.#change(change))
    this.#trim()
    if (about.tx !== undefined && this.#recent.push(about.tx) > RECENT) this.#recent.shift()
    if (emptied) this.#saver?.replace(this.#kept)
    else this.#saver?.change(changes)
    this.#tell({ ...about, reset: emptied, changes })
  }

  #change({ op, row, key: wireKey, unchanged }: ChangeFrame): RowChange<R> {
    const key = keyText(this.#key, wireKey ?? row!)
    if (this.options.snapshot === false) return op === 'delete' ? { op, key } : { op, key, row: this.#decode(row!) as R }
    const before = this.#rows.get(key)
    const was = before && { before }
    if (op === 'delete') {
      this.#rows.delete(key)
      return { op, key, ...was }
    }
    const after = this.#decode(row!) as R
    // Large values that did not change are named and not sent.
    for (const name of unchanged ?? []) {
      if (before && name in before) (after as Record<string, unknown>)[name] = (before as Record<string, unknown>)[name]
    }
    this.#rows.set(key, after)
    return { op: before ? 'update' : 'insert', key, row: after, ...was }
  }

  /** Rows of a bounded snapshot do not grow without end. Whoever pages has more of them, and wants no gap before those. */
  #trim(): void {
    const { limit, orderBy } = this.options
    if (limit === undefined || this.#paged || this.#rows.size <= 2 * limit + RECENT) return
    const order = comparator<R>(orderBy, this.#columns)
    if (!order) return
    const sorted = [...this.#rows].sort((a, b) => order(a[1], b[1]))
    for (const [key, row] of sorted.splice(limit)) {
      this.#rows.delete(key)
      this.#saver?.change([{ op: 'delete', key, before: row }])
    }
    this.#last = { ...(sorted.at(-1)![1] as Wire) }
  }

  #tell(batch: Batch<R>): void {
    this.#copy = null
    for (const listener of [...this.#listeners]) listener(this.#rows, batch)
  }

  #be(state: RowsState): void {
    if (state === this.#state) return
    this.#state = state
    for (const listener of [...this.#states]) listener()
  }

  #drop(): void {
    this.#arriving = null
    this.#held = []
    this.#emptied = false
  }

  #pageFailed(error: TidegateError): void {
    const page = this.#page
    this.#page = undefined
    page?.reject(error)
  }

  #rest(): void {
    this.#leave()
    if (this.#state === 'live') this.#be('stale')
    this.#timer = setTimeout(() => this.#forget(), FORGET_MS)
  }

  #leave(): void {
    if (this.#id !== undefined) this.link.remove(this.#id)
    this.#id = undefined
    this.#drop()
    this.#saver?.flush()
  }

  #forget(): void {
    this.#rows = new Map()
    this.#cursor = undefined
    this.#saver = undefined
    this.#copy = null
    this.#be('idle')
    this.forgotten()
  }
}

const same = (a: object, b: object): boolean => {
  const text = (row: object) => JSON.stringify(row, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))
  return text(a) === text(b)
}
