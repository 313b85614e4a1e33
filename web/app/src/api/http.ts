import { Problem, Unreachable } from './problem'
import { patiently } from './retry'

export interface Command {
  method: 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  path: string
  body?: unknown
  /** The version that was read: the command is refused if it is another by now. */
  version?: number | undefined
}

export interface Reply<R> {
  row: R
  /** In which transaction it was done, and a position behind it: for `seen`. */
  tx: string
  lsn: string
}

export interface Page<R> {
  rows: R[]
  next: string | null
}

export interface Line {
  /** Where requests go now: an origin, or nothing for the page's own. */
  origin: () => string
  token: (refused?: boolean) => Promise<string | null>
  /** Aborted when the line goes down: what was asked over it is not answered any more. */
  lost: () => { signal: AbortSignal; release: () => void }
  /** An answer is late: somebody had better look whether the line is there. */
  doubt: () => void
  /** Resolves when the line is there again, at the latest after so long. */
  pause: (ms: number) => Promise<void>
}

const TIMEOUT_MS = 8_000
const LATE_MS = 1_500

export class Api {
  constructor(private readonly line: Line) {}

  async read<T>(path: string, signal?: AbortSignal): Promise<T> {
    const response = await this.ask(path, { signal: signal ?? null })
    return await response.json() as T
  }

  /** Done once, however often it has to be sent. */
  send<R>(command: Command, onWait?: (waiting: boolean) => void): Promise<Reply<R>> {
    const key = crypto.randomUUID()
    return patiently(() => this.once<R>(command, key), { pause: this.line.pause, ...(onWait && { onWait }) })
  }

  private async once<R>({ method, path, body, version }: Command, key: string): Promise<Reply<R>> {
    const headers: Record<string, string> = { 'idempotency-key': key }
    if (body !== undefined) headers['content-type'] = 'application/json'
    if (version !== undefined) headers['if-match'] = `"${version}"`
    const response = await this.ask(path, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) })
    const { tx, row } = await response.json() as { tx: string; row: R }
    return { tx, row, lsn: response.headers.get('tidegate-lsn') ?? '' }
  }

  private async ask(path: string, init: RequestInit): Promise<Response> {
    const response = await this.reach(path, init, await this.line.token())
    if (response.ok) return response
    if (response.status === 401) {
      // A token may end on the way; the next one tells whether it is more than that.
      const again = await this.reach(path, init, await this.line.token(true))
      if (again.ok) return again
      throw await Problem.of(again)
    }
    throw await Problem.of(response)
  }

  private async reach(path: string, init: RequestInit, token: string | null): Promise<Response> {
    const headers = new Headers(init.headers)
    if (token) headers.set('authorization', `Bearer ${token}`)
    const lost = this.line.lost()
    const late = setTimeout(this.line.doubt, LATE_MS)
    const signals = [AbortSignal.timeout(TIMEOUT_MS), lost.signal]
    try {
      return await fetch(this.line.origin() + path, { ...init, headers, signal: AbortSignal.any(init.signal ? [...signals, init.signal] : signals) })
    } catch (error) {
      if (init.signal?.aborted) throw error
      throw new Unreachable(error)
    } finally {
      clearTimeout(late)
      lost.release()
    }
  }
}

/** A path with its parts escaped: path`/v1/entries/${id}`. */
export function path(texts: TemplateStringsArray, ...parts: string[]): string {
  return String.raw({ raw: texts }, ...parts.map(encodeURIComponent))
}
