import type { ErrorFrame } from './frames.js'

/** What the server refused, or what became of what was asked: `code` is stable, the message is for people. */
export class TidegateError extends Error {
  override readonly name = 'TidegateError'
  /** The field of the request at fault. */
  declare readonly field?: string
  /** Where in the filter's text, in characters from 1. */
  declare readonly position?: number
  /** The SQL that mends it, for those who own the database. */
  declare readonly hint?: string
  /** When it may be tried again. */
  declare readonly retryAfterMs?: number

  /**
   * @param code one of docs/protocol.md (`unknown_column`, `forbidden`, …); `closed`: the client was closed;
   *   `refused`: a close code after which returning would not help; `timeout`: a write did not come round in time;
   *   `unsupported`: not over this transport.
   */
  constructor(
    readonly code: string,
    message: string,
    told: Partial<ErrorFrame> = {},
  ) {
    super(message)
    const { field, position, hint, retry_after_ms: retryAfterMs } = told
    // Those that were told, and no others.
    Object.assign(this, JSON.parse(JSON.stringify({ field, position, hint, retryAfterMs })))
  }

  /** The error that a frame tells. */
  static of(frame: ErrorFrame): TidegateError {
    return new TidegateError(frame.code, frame.message, frame)
  }
}
