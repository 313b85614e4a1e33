import type { Batch, Change, RowChange, RowsOptions, RowsState } from './batch.js'
import { call } from './call.js'
import { TidegateError } from './error.js'
import type { ChangeFrame, Column, ServerFrame, SubscribeFrame, Wire } from './frames.js'
import type { Link, Subscription } from './link.js'
import { Older, type Page } from './older.js'
import { type SeenOptions, seen, type Write } from './seen.js'
import type { Keeper, Kept, Persistence } from './store.js'
import { type Decode, decoder, keyText } from './values.js'

type Listener<R> = (rows: ReadonlyMap<string, R>, batch: Batch<R>) => void

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
  readonly #older: Older<R>
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
    this.#older = new Older(options)
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
   * Older rows in the snapshot's order: behind `after`, a row that was told or the last of a page, or else behind those that
   * are held. They are the caller's: later changes of theirs are told, and they are not put among the rows.
   */
  page(limit = 50, after?: R): Promise<Page<R>> {
    return this.#older.ask(limit, after, this.#key, this.#state === 'live', (place) => this.link.page(this.#id!, place, limit))
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
    const cursor = this.#cursor
    this.#answered = false
    // What is undefined is not sent.
    return {
      type: 'subscribe',
      id,
      table: this.table,
      where,
      params,
      columns,
      delivery,
      interval_ms: intervalMs,
      // Bounds of a snapshot stay, in case that the cursor is too old; a plain wish for one does not.
      snapshot: snapshot && bounds ? { order_by: orderBy, limit } : cursor && snapshot ? undefined : snapshot,
      cursor,
      shape: cursor && this.#shape,
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
        this.#older.keep(frame.rows, this.#key)
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
      case 'page':
        this.#older.come(frame.rows.map((wire) => this.#decoded(wire)), frame.last)
        break
      case 'error':
        this.#older.fail(TidegateError.of(frame))
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
    this.#older.fail(new TidegateError('unavailable', 'the line was lost'))
    this.#be(this.#state === 'live' || this.#state === 'stale' ? 'stale' : 'loading')
  }

  fail(error: TidegateError): void {
    this.#id = undefined
    this.#older.fail(error)
    this.error = error
    // What was not refused may be looked at on.
    const stays = ['closed', 'refused', 'too_many_subscriptions'].includes(error.code)
    if (stays) void this.#keeper?.flush()
    else {
      this.#keeper?.forget()
      this.#rows.clear()
    }
    this.#keeper = this.#cursor = undefined
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
    this.#older.last = last
    this.#rows = new Map(rows as Iterable<[string, R]>)
    this.#copy = null
    this.#be('stale')
    this.#tell(RESET)
  }

  get #kept(): Kept | undefined {
    if (this.#cursor === undefined) return undefined
    const head = { cursor: this.#cursor, shape: this.#shape!, key: this.#key, columns: this.#columns, last: this.#older.last }
    return { head, rows: this.#rows }
  }

  #described(shape: string, key: readonly string[], columns: readonly Column[]): void {
    this.#shape = shape
    this.#key = key
    this.#columns = columns
    this.#decode = decoder(columns, key, this.how)
  }

  #decoded(wire: Wire): R {
    const place = this.how && this.#older.placeOf(wire, this.#key)
    const row = this.#decode(wire) as R
    return place ? this.#older.note(row, place) : row
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
    changes.push(...this.#older.trim(this.#rows, this.#columns, this.#key))
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

  #rest(): void {
    if (this.#id !== undefined) this.link.remove(this.#id)
    this.#id = undefined
    this.#drop()
    this.#older.fail(new TidegateError('closed', 'nobody listens'))
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
    this.#keeper = this.#cursor = undefined
    this.#copy = null
    this.#be('idle')
    if (this.home.get(this.name) === (this as unknown)) this.home.delete(this.name)
  }
}

const same = (a: object, b: object): boolean => {
  const text = (row: object) => JSON.stringify(row, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))
  return text(a) === text(b)
}
