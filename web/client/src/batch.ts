// What rows are asked for, and how they are told.

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
  /** `behind`: it is there still, and has only lost its place in a bounded snapshot. */
  | { readonly op: 'delete'; readonly key: string; readonly before?: R; readonly behind?: true }

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

/**
 * How it stands with the rows. `stale`: shown though they may be old, as after a reload or while the line is down. `live`: the
 * server tells them; of what was missed before, the last may be on its way.
 */
export type RowsState = 'idle' | 'loading' | 'stale' | 'live' | 'ended'
