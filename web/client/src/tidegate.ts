import { Channel } from './channel.js'
import { TidegateError } from './error.js'
import { fallback } from './fallback.js'
import type { Connect } from './line.js'
import { Link, type Status, type TokenSource } from './link.js'
import type { Readable } from './readable.js'
import type { RowsOptions } from './batch.js'
import { Rows } from './rows.js'
import { type SeenOptions, seen, type Write } from './seen.js'
import { sse } from './sse.js'
import type { Persistence } from './store.js'
import type { Decode } from './values.js'
import { webSocket } from './websocket.js'

export interface Options {
  /** Brings the token of whoever looks: asked for each new line, before the one at hand ends, and once after a refusal. */
  token?: TokenSource
  /** What becomes of values that JavaScript has no exact form for. */
  decode?: Decode
  /** Keeps rows over a reload: `indexedDb(scope)` of `@tidegate/client/persist`. */
  persist?: Persistence
  /** How lines are laid. Default: by WebSocket, and by server-sent events where that does not get through. */
  transport?: 'auto' | 'websocket' | 'sse'
  /** The class of sockets where the platform has none, as before Node 22: that of the package `ws`. */
  webSocket?: typeof WebSocket
  /** Tabs share one line: `tabs(scope)` of `@tidegate/client/tabs`. */
  share?: (connect: Connect, addresses: readonly string[]) => Connect
}

/** A Tidegate server, or several that share a journal: one line, laid while somebody needs it, for all that is asked for. */
export class Tidegate {
  /** How it stands with the server. */
  readonly status: Readable<Status>
  readonly #link: Link
  readonly #rows = new Map<string, Rows<object>>()
  readonly #channels = new Map<string, Channel>()
  readonly #options: Options

  /** @param servers `wss://host/v1/socket`, or the same with `https`. After the loss of one it goes on on the next. */
  constructor(servers: string | URL | readonly (string | URL)[], options: Options = {}) {
    this.#options = options
    const addresses = [servers].flat().map((server) => addressOf(server as string | URL))
    const connect = transportOf(options)
    this.#link = new Link(addresses, options.share?.(connect, addresses) ?? connect, options.token)
    this.status = this.#link.status
  }

  /** Live rows of a table (`schema.table`, or `table` of schema `public`). Who asks for the same shares them. */
  rows<R extends object = Record<string, unknown>>(table: string, options: RowsOptions = {}): Rows<R> {
    const { decode, persist } = this.#options
    const name = JSON.stringify([table, ...Object.entries({ ...options, decode }).filter(([, value]) => value !== undefined).sort()])
    let rows = this.#rows.get(name)
    if (!rows) {
      rows = new Rows<object>(this.#link, table, options, decode, persist, name, this.#rows)
      this.#rows.set(name, rows)
    }
    // What its rows are is the caller's to say.
    return rows as unknown as Rows<R>
  }

  /** Events on a channel. */
  channel<Data = unknown>(name: string): Channel<Data> {
    const channel = this.#channels.get(name) ?? new Channel(this.#link, name, this.#channels)
    this.#channels.set(name, channel)
    return channel as Channel<Data>
  }

  /**
   * Resolves when a write of one's own (`Tidegate-Lsn` of its reply) has come round: everything up to it has been delivered
   * to all rows. Rejects with `timeout` after `timeoutMs` (default 10,000).
   */
  seen(write: Write, options?: SeenOptions): Promise<void> {
    return seen(this.#link, write, options)
  }

  /** Looks at once whether the server is there, as it does by itself when the page is looked at again. */
  wake(): void {
    this.#link.wake()
  }

  /** Ends it all: rows and channels end with `closed`. */
  close(): void {
    this.#link.close(new TidegateError('closed', 'the client was closed'))
  }
}

function addressOf(server: string | URL): string {
  const base = (globalThis as { location?: { href: string } }).location?.href
  return new URL(server, base).href.replace(/^http/, 'ws')
}

function transportOf({ transport = 'auto', webSocket: Socket = globalThis.WebSocket }: Options): Connect {
  if (transport === 'sse' || !Socket) return sse
  return transport === 'websocket' ? webSocket(Socket) : fallback(webSocket(Socket), sse)
}
