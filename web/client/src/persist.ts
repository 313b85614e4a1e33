import type { Kept, Store, Update } from './store.js'

/** Bounds of what is kept. */
export interface IndexedDbOptions {
  /** A subscription with more rows is not kept. Default 20,000. */
  maxRows?: number
  /** What nobody has looked at for so long is removed. Default seven days. */
  maxAgeMs?: number
}

type Head = Update['head'] & { at: number; count: number }

const done = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })

/** All keys of one subscription's rows: arrays sort behind every text. */
const of = (name: string): IDBKeyRange => IDBKeyRange.bound([name], [name, []])

/**
 * Keeps rows and cursors in IndexedDB, so that a reload shows content at once and resumes.
 *
 * `scope` says whose rows they are, as in a user's id: what one person could see is never shown to the next one. Where the
 * browser keeps nothing, as in some private windows, nothing is kept.
 */
export function indexedDb(scope: string, { maxRows = 20_000, maxAgeMs = 7 * 86_400_000 }: IndexedDbOptions = {}): Store & { clear(): Promise<void> } {
  const base = `tidegate:${scope}`
  let opening: Promise<IDBDatabase> | undefined

  const open = () =>
    (opening ??= (async () => {
      const request = indexedDB.open(base, 1)
      request.onupgradeneeded = () => {
        request.result.createObjectStore('heads')
        request.result.createObjectStore('rows')
      }
      const database = await done(request)
      // Another tab clears: it need not wait for this one.
      database.onversionchange = () => {
        database.close()
        opening = undefined
      }
      void sweep(database).catch(() => {})
      return database
    })())

  const begin = async (mode: IDBTransactionMode) => {
    const transaction = (await open()).transaction(['heads', 'rows'], mode)
    return { transaction, heads: transaction.objectStore('heads'), rows: transaction.objectStore('rows') }
  }

  const sweep = async (database: IDBDatabase) => {
    const transaction = database.transaction(['heads', 'rows'], 'readwrite')
    const cursor = transaction.objectStore('heads').openCursor()
    cursor.onsuccess = () => {
      const { result } = cursor
      if (!result) return
      if ((result.value as Head).at < Date.now() - maxAgeMs) {
        transaction.objectStore('rows').delete(of(result.key as string))
        result.delete()
      }
      result.continue()
    }
    await done(cursor)
  }

  return {
    async load(name) {
      try {
        const { heads, rows } = await begin('readonly')
        const [head, keys, values] = await Promise.all([
          done(heads.get(name) as IDBRequest<Head | undefined>),
          done(rows.getAllKeys(of(name))),
          done(rows.getAll(of(name)) as IDBRequest<object[]>),
        ])
        return head && ({ ...head, rows: new Map(keys.map((key, at) => [(key as [string, string])[1], values[at]!])) } satisfies Kept)
      } catch {
        return undefined
      }
    },

    async save(name, { head, replace, rows: changed }) {
      try {
        const { transaction, heads, rows } = await begin('readwrite')
        if (replace) rows.delete(of(name))
        for (const [key, row] of changed) {
          if (row === undefined) rows.delete([name, key])
          else rows.put(row, [name, key])
        }
        const count = await done(rows.count(of(name)))
        if (count > maxRows) transaction.abort()
        else heads.put({ ...head, at: Date.now(), count } satisfies Head, name)
        if (count > maxRows) await this.forget(name)
      } catch {
        // A place that is older than its rows would be worse than none.
        await this.forget(name)
      }
    },

    async forget(name) {
      try {
        const { heads, rows } = await begin('readwrite')
        heads.delete(name)
        await done(rows.delete(of(name)))
      } catch {
        // Nothing was kept then.
      }
    },

    /** Removes all that was kept for this scope, as when somebody signs out. */
    async clear() {
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
