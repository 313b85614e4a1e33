import type { Column, Wire } from './frames.js'
import type { RowChange } from './batch.js'

/** The place in the stream that rows are as of, and what all of them have in common. */
export interface Head {
  readonly cursor: string
  readonly shape: string
  readonly key: readonly string[]
  readonly columns: readonly Column[]
  /** The snapshot's last row, behind which older ones are: the values of its order and key. */
  readonly last: Wire | undefined
}

/** What goes on after a reload. */
export interface Kept {
  readonly head: Head
  readonly rows: ReadonlyMap<string, object>
}

/** Keeps the rows of one subscription, as they are told. */
export interface Keeper {
  /** What was kept of them. Does not throw. */
  load(): Promise<Kept | undefined>
  /** All rows are others. */
  replace(): void
  change(changes: readonly RowChange<object>[]): void
  /** The place alone is another. */
  touch(): void
  /** Writes what has not been written. */
  flush(): Promise<void>
  forget(): void
}

/** What keeps rows over a reload. */
export interface Persistence {
  /** @param look what there is now; nothing while it has no place yet. */
  keeper(name: string, look: () => Kept | undefined): Keeper
}

/** What has changed since the last time. */
export interface Update {
  readonly head: Head
  /** Who writes: what another one has written since is not to be mixed with this. */
  readonly writer: string
  /** Whether these are all rows; else those that have changed, undefined for one that is gone. */
  readonly whole: boolean
  readonly rows: ReadonlyMap<string, object | undefined>
}

/** Where rows are kept. Rows and head change together or not at all. */
export interface Store {
  /** A subscription with more rows is not kept. */
  readonly maxRows: number
  load(name: string): Promise<Kept | undefined>
  /**
   * Of tabs with the same rows one writes them: calls `ours` once it is this one's turn, until what it returns is called.
   */
  turn(name: string, ours: () => void): () => void
  /** Whether it was kept: not if something is missing that this builds upon. Does not throw. */
  save(name: string, update: Update): Promise<boolean>
  forget(name: string): Promise<void>
}

