import type { Column, Wire } from './frames.js'
import type { RowChange } from './rows.js'

/** What goes on after a reload: the rows of a subscription, and the place in the stream that they are as of. */
export interface Kept {
  readonly rows: ReadonlyMap<string, object>
  readonly cursor: string
  readonly shape: string
  readonly key: readonly string[]
  readonly columns: readonly Column[]
  /** The snapshot's last row, behind which older ones are. */
  readonly last: Wire | undefined
}

/** What has changed since the last time. */
export interface Update {
  /** What all rows have in common. */
  readonly head: Omit<Kept, 'rows'>
  /** Whether those from before are gone. */
  readonly replace: boolean
  readonly rows: ReadonlyMap<string, object | undefined>
}

/** Where rows are kept. Rows and cursor change together or not at all. A store that fails is one that keeps nothing: it never throws. */
export interface Store {
  load(name: string): Promise<Kept | undefined>
  save(name: string, update: Update): Promise<void>
  forget(name: string): Promise<void>
}

/** How long changes are gathered before they are written. */
const GATHER_MS = 250

/** Brings one subscription's rows to a store, a few times a second at most. */
export class Saver {
  #head: Omit<Kept, 'rows'> | undefined
  #replace = false
  #rows = new Map<string, object | undefined>()
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(
    private readonly store: Store,
    private readonly name: string,
  ) {}

  async load(): Promise<Kept | undefined> {
    const kept = await this.store.load(this.name)
    if (kept) this.#head = kept
    return kept
  }

  /** All rows are others. Their place is told by {@link reach}. */
  replace({ rows, ...head }: Omit<Kept, 'cursor'>): void {
    this.#head = { ...head, cursor: '' }
    this.#replace = true
    this.#rows = new Map(rows)
  }

  change(changes: readonly RowChange<object>[]): void {
    for (const change of changes) this.#rows.set(change.key, change.op === 'delete' ? undefined : change.row)
  }

  /** Everything told so far is as of `cursor`. */
  reach(cursor: string): void {
    if (!this.#head) return
    this.#head = { ...this.#head, cursor }
    this.#timer ??= setTimeout(() => this.flush(), GATHER_MS)
  }

  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const head = this.#head
    if (!head?.cursor) return
    const update = { head, replace: this.#replace, rows: this.#rows }
    this.#rows = new Map()
    this.#replace = false
    void this.store.save(this.name, update)
  }

  forget(): void {
    clearTimeout(this.#timer)
    this.#timer = this.#head = undefined
    this.#rows.clear()
    void this.store.forget(this.name)
  }
}
