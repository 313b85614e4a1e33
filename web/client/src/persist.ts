import { Saver } from './saver.js'
import type { Head, Kept, Persistence, Store } from './store.js'

export { Saver } from './saver.js'
export type { Store, Update } from './store.js'

/** Bounds of what is kept. */
export interface IndexedDbOptions {
  /** A subscription with more rows is not kept. Default 20,000. */
  maxRows?: number
  /** What nobody has looked at for so long is removed. Default seven days. */
  maxAgeMs?: number
}

/** A subscription's head as it is kept. */
interface Entry {
  readonly head: Head
  readonly writer: string
  readonly at: number
}

const done = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })

const committed = (transaction: IDBTransaction): Promise<void> =>
  new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve()
    transaction.onabort = () => reject(transaction.error)
  })

/** All keys of one subscription's rows: arrays sort behind every text. */
const of = (name: string): IDBKeyRange => IDBKeyRange.bound([name], [name, []])

/**
 * Keeps rows and cursors in IndexedDB, so that a reload shows content at once and resumes.
 *
 * `scope` says whose rows they are, as in a user's id: what one person could see is never shown to the next one. Where the
 * browser keeps nothing, as in some private windows, nothing is kept.
 */
export function indexedDb(scope: string, { maxRows = 20_000, maxAgeMs = 7 * 86_400_000 }: IndexedDbOptions = {}): Persistence & { clear(): Promise<void> } {
  const base = `tidegate:${scope}`
  let opening: Promise<IDBDatabase> | undefined
  let cleared = false

  const open = async (): Promise<IDBDatabase> => {
    if (cleared) throw new Error('the store was cleared')
    const request = indexedDB.open(base, 1)
    request.onupgradeneeded = () => {
      request.result.createObjectStore('heads')
      request.result.createObjectStore('rows')
    }
    const database = await done(request)
    // Another tab clears: it need not wait for this one, which keeps nothing from then on either.
    database.onversionchange = ({ newVersion }) => {
      cleared ||= newVersion === null
      database.close()
      opening = undefined
    }
    sweep(database).catch(() => {})
    return database
  }

  const begin = async (mode: IDBTransactionMode) => {
    const database = await (opening ??= open().catch((error: unknown) => {
      opening = undefined
      throw error
    }))
    const transaction = database.transaction(['heads', 'rows'], mode)
    return { transaction, heads: transaction.objectStore('heads'), rows: transaction.objectStore('rows') }
  }

  const sweep = async (database: IDBDatabase): Promise<void> => {
    const transaction = database.transaction(['heads', 'rows'], 'readwrite')
    const cursor = transaction.objectStore('heads').openCursor()
    cursor.onsuccess = () => {
      const { result } = cursor
      if (!result) return
      if ((result.value as Entry).at < Date.now() - maxAgeMs) {
        transaction.objectStore('rows').delete(of(result.key as string))
        result.delete()
      }
      result.continue()
    }
    await committed(transaction)
  }

  const store: Store = {
    maxRows,

    async load(name) {
      const { heads, rows } = await begin('readonly')
      const [entry, keys, values] = await Promise.all([
        done(heads.get(name) as IDBRequest<Entry | undefined>),
        done(rows.getAllKeys(of(name))),
        done(rows.getAll(of(name)) as IDBRequest<object[]>),
      ])
      const all = new Map(keys.map((key, at) => [(key as [string, string])[1], values[at]!]))
      return entry && ({ head: entry.head, rows: all } satisfies Kept)
    },

    turn(name, ours) {
      const { locks } = (globalThis.navigator ?? {}) as Partial<Navigator>
      const leaving = new AbortController()
      const { signal } = leaving
      const held = () => {
        ours()
        return new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
      }
      if (locks) locks.request(`${base}:${name}`, { signal }, () => (signal.aborted ? undefined : held())).catch(() => {})
      else ours()
      return () => leaving.abort()
    },

    async save(name, { head, writer, whole, rows: changed }) {
      try {
        const { transaction, heads, rows } = await begin('readwrite')
        const over = committed(transaction)
        const before = await done(heads.get(name) as IDBRequest<Entry | undefined>)
        // What was swept, cleared, or written by another tab since is no ground to build upon.
        const builds = whole || before?.writer === writer
        if (builds) {
          if (whole) rows.delete(of(name))
          for (const [key, row] of changed) {
            if (row === undefined) rows.delete([name, key])
            else rows.put(row, [name, key])
          }
          heads.put({ head, writer, at: Date.now() } satisfies Entry, name)
        }
        await over
        return builds
      } catch {
        return false
      }
    },

    async forget(name) {
      try {
        const { transaction, heads, rows } = await begin('readwrite')
        heads.delete(name)
        rows.delete(of(name))
        await committed(transaction)
      } catch {
        // Nothing was kept then.
      }
    },
  }

  return {
    keeper: (name, look) => new Saver(store, name, look),

    /** Removes all that was kept for this scope, as when somebody signs out. From then on this one keeps nothing. */
    async clear() {
      cleared = true
      try {
        ;(await opening)?.close()
        opening = undefined
        await done(indexedDB.deleteDatabase(base))
      } catch {
        // As above.
      }
    },
  }
}
