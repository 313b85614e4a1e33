import { SignedOut } from '../session/kept'
import { Problem, Unreachable } from './problem'
import { patiently } from './retry'

export interface Command {
  method: 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  path: string
  body?: unknown
  /** The version that was read: the command is refused if it is another by now. */
  version?: number | undefined
  /** By which a repeat is known: for one that is given again after nobody knew what came of it. */
  key?: string
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

/** All of an answer: one that was cut off is none. */
interface Answer {
  ok: boolean
  status: number
  headers: Headers
  body: unknown
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
    return (await this.ask(path, { signal: signal ?? null })).body as T
  }

  /** Done once, however often it has to be sent. */
  send<R>(command: Command, onWait?: (waiting: boolean) => void): Promise<Reply<R>> {
    const key = command.key ?? crypto.randomUUID()
    return patiently(() => this.once<R>(command, key), { pause: this.line.pause, ...(onWait && { onWait }) })
  }

  private async once<R>({ method, path, body, version }: Command, key: string): Promise<Reply<R>> {
    const headers: Record<string, string> = { 'idempotency-key': key }
    if (body !== undefined) headers['content-type'] = 'application/json'
    if (version !== undefined) headers['if-match'] = `"${version}"`
    const answer = await this.ask(path, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) })
    const { tx, row } = answer.body as { tx: string; row: R }
    return { tx, row, lsn: answer.headers.get('tidegate-lsn') ?? '' }
  }

  private async ask(path: string, init: RequestInit): Promise<Answer> {
    const answer = await this.reach(path, init, await this.token())
    // A token may end on the way; the next one tells whether it is more than that.
    const last = answer.status === 401 ? await this.reach(path, init, await this.token(true)) : answer
    if (!last.ok) throw Problem.of(last)
    return last
  }

  /** A provider that cannot be reached is a line that is down; one that has ended the sign-in is not. */
  private async token(refused = false): Promise<string | null> {
    try {
      return await this.line.token(refused)
    } catch (error) {
      throw error instanceof SignedOut ? error : new Unreachable(error)
    }
  }

  private async reach(path: string, init: RequestInit, token: string | null): Promise<Answer> {
    const headers = new Headers(init.headers)
    if (token) headers.set('authorization', `Bearer ${token}`)
    const lost = this.line.lost()
    const late = setTimeout(this.line.doubt, LATE_MS)
    const signals = [AbortSignal.timeout(TIMEOUT_MS), lost.signal]
    try {
      const response = await fetch(this.line.origin() + path, { ...init, headers, signal: AbortSignal.any(init.signal ? [...signals, init.signal] : signals) })
      const { ok, status, headers: told } = response
      const text = await response.text()
      // Done, and told in no words of the server's: somebody between it and here has answered.
      return { ok, status, headers: told, body: ok ? JSON.parse(text) : parsed(text) }
    } catch (error) {
      if (init.signal?.aborted) throw error
      throw new Unreachable(error)
    } finally {
      clearTimeout(late)
      lost.release()
    }
  }
}

/** A refusal may be told in other words. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** A path with its parts escaped: path`/v1/entries/${id}`. */
export function path(texts: TemplateStringsArray, ...parts: string[]): string {
  return String.raw({ raw: texts }, ...parts.map(encodeURIComponent))
}
