import type { CollectionConfig, DeleteMutationFnParams, InsertMutationFnParams, UpdateMutationFnParams } from '@tanstack/db'
import type { Rows } from './rows.js'
import type { SeenOptions, Write } from './seen.js'

/** What a handler gives back: the write that it has made, or several. */
export type Written = Write | readonly Write[]

/** What {@link tidegateCollectionOptions} is made of. */
export interface TidegateCollection<R extends object> {
  /** `tide.rows(…)`: what the collection holds. */
  rows: Rows<R>
  id?: string
  /**
   * Bring what was changed here to the database, by whatever takes commands, and give back the write. What is shown at once
   * stays until that write has come round, so nothing flickers; where the handler throws, it is taken back.
   */
  onInsert?: (params: InsertMutationFnParams<R, string>) => Promise<Written>
  onUpdate?: (params: UpdateMutationFnParams<R, string>) => Promise<Written>
  onDelete?: (params: DeleteMutationFnParams<R, string>) => Promise<Written>
  /** How long a write may take to come round. Default 10,000. */
  timeoutMs?: number
}

/** Utilities of such a collection. */
export interface TidegateUtils {
  [name: string]: (...args: never[]) => unknown
  /** Resolves when a write has come round. */
  seen(write: Write, options?: SeenOptions): Promise<void>
}

/** Options of a TanStack DB collection that holds live rows: `createCollection(tidegateCollectionOptions({ rows: tide.rows('entries') }))`. */
export function tidegateCollectionOptions<R extends object>({
  rows,
  id,
  onInsert,
  onUpdate,
  onDelete,
  timeoutMs = 10_000,
}: TidegateCollection<R>): CollectionConfig<R, string, never, TidegateUtils> & { utils: TidegateUtils } {
  /** Waits for what a handler has written. */
  const settled =
    <P>(handler: (params: P) => Promise<Written>) =>
    async (params: P): Promise<void> => {
      const written = await handler(params)
      await Promise.all([written].flat().map((write) => rows.seen(write as Write, { timeoutMs })))
    }
  return {
    ...(id !== undefined && { id }),
    getKey: (row) => rows.keyOf(row),
    sync: {
      rowUpdateMode: 'full',
      sync: ({ begin, write, commit, truncate, markReady, markError }) =>
        rows.subscribe(
          (live, { reset, changes }) => {
            begin()
            if (reset) truncate()
            if (reset) for (const value of live.values()) write({ type: 'insert', value })
            else {
              for (const change of changes) {
                if (change.op === 'delete') write({ type: 'delete', key: change.key })
                else write({ type: change.op, value: change.row })
              }
            }
            commit()
            markReady()
          },
          (error) => markError(error),
        ),
    },
    ...(onInsert && { onInsert: settled(onInsert) }),
    ...(onUpdate && { onUpdate: settled(onUpdate) }),
    ...(onDelete && { onDelete: settled(onDelete) }),
    utils: { seen: (write, options) => rows.seen(write, options) },
  }
}
