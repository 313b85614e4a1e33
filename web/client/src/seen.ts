import { TidegateError } from './error.js'
import type { Link } from './link.js'
import { lsnOf } from './values.js'

/** A write of one's own, as the reply to it tells: `Tidegate-Tx` and `Tidegate-Lsn`. */
export interface Write {
  tx?: string | null
  lsn?: string | null
}

export interface SeenOptions {
  /** Default 10,000. */
  timeoutMs?: number
}

/** Rows in which a transaction may show. */
interface Told {
  showed(tx: string): boolean
  subscribe(listener: (rows: unknown, batch: { readonly tx?: string }) => void, failed: (error: TidegateError) => void): () => void
}

/**
 * Resolves when a write has come round on this line: by its transaction, where `rows` show it, or once all that was committed
 * up to its position has been delivered. Waits over a reconnect.
 *
 * Rejects with `timeout`, or with what ended the line.
 */
export function seen(link: Link, { tx, lsn }: Write, { timeoutMs = 10_000 }: SeenOptions = {}, rows?: Told): Promise<void> {
  if (tx && rows?.showed(tx)) return Promise.resolve()
  return new Promise((resolve, reject) => {
    const leave: (() => void)[] = []
    const end = (error?: TidegateError) => {
      for (const step of leave.splice(0)) step()
      if (error) reject(error)
      else resolve()
    }
    if (lsn ? lsnOf(lsn) === undefined : !(tx && rows)) return end(new TidegateError('bad_request', 'a write has an `lsn`, or a `tx` and rows'))
    const timer = setTimeout(() => end(new TidegateError('timeout', `no such write within ${timeoutMs} ms`)), timeoutMs)
    leave.push(() => clearTimeout(timer))
    if (tx && rows) leave.push(rows.subscribe((_, batch) => void (batch.tx === tx && end()), end))
    if (lsn) leave.push(link.await(lsn, () => end()))
    leave.push(link.status.subscribe(({ error }) => void (error && end(error))))
  })
}
