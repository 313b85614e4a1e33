import type { Batch, Rows, Tidegate } from '@tidegate/client'
import type { Api, Command, Reply } from '../api/http'
import { inWords, Problem } from '../api/problem'
import type { Entry, Id } from '../api/tables'
import { type Card, Columns } from './columns'
import { Overlay, type Patch } from './overlay'

export interface Moved {
  id: Id
  /** By which transaction; nothing if it was done here. */
  tx?: string | undefined
  kind: 'insert' | 'move' | 'edit'
}

interface Doing {
  tide: Tidegate
  api: Api
  refused: (words: string) => void
}

/** Makes a command on a card as it is when its turn has come: what was asked for before it has made another version of it. */
export type Ask = (now: Entry) => Command

interface Manner {
  /** Asked again on top of what others have made of the card meanwhile: for what does not undo theirs. */
  again?: boolean
}

const AGAIN = 3

/** A board's cards on the screen: follows the stream, and shows at once what was asked for here. */
export class BoardStore {
  readonly columns = new Columns()
  readonly #overlay = new Overlay()
  readonly #listeners = new Set<() => void>()
  /** The last of what is asked for on each card: one after the other, in the order in which it was asked. */
  readonly #queues = new Map<Id, Promise<unknown>>()
  /** Cards as replies told them, until the stream has come as far. */
  readonly #told = new Map<Id, Entry>()
  readonly #before = new Set<(moved: ReadonlyMap<Id, Moved>) => void>()
  #rows: ReadonlyMap<string, Entry> = new Map()
  #dirty = new Map<Id, Moved>()
  #frame = 0
  #turn = 0
  #reset = false

  constructor(
    private readonly source: Rows<Entry>,
    private readonly doing: Doing,
  ) {}

  /** Another number each time that something is to be drawn. */
  get turn(): number {
    return this.#turn
  }

  start(): () => void {
    const stop = this.source.subscribe((rows, batch) => this.#take(rows, batch))
    return () => {
      stop()
      cancelAnimationFrame(this.#frame)
      this.#frame = 0
    }
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Told right before something is drawn otherwise than it was: what moves is measured then. */
  beforeDrawing(listener: (moved: ReadonlyMap<Id, Moved>) => void): () => void {
    this.#before.add(listener)
    return () => this.#before.delete(listener)
  }

  get(id: Id): Card | undefined {
    return this.columns.get(id)
  }

  /** Shows `patch` on a card at once, has done what is asked for when its turn comes, and takes it back if that is refused. */
  async attempt(entry: Id, patch: Patch | 'gone', ask: Ask, manner: Manner = {}): Promise<Reply<Entry> | null> {
    const { tide, refused } = this.doing
    const key = this.#overlay.add(entry, patch)
    this.#redraw(entry)
    const turn = (what: Parameters<Overlay['turn']>[1]) => {
      this.#overlay.turn(key, what)
      this.#redraw(entry)
    }
    try {
      const reply = await this.#inTurn(entry, () => this.#send(entry, ask, manner, (waiting) => turn(waiting ? 'unreachable' : 'retry')))
      turn('accepted')
      const over = (what: 'seen' | 'expired') => {
        if (this.#told.get(entry) === reply.row) this.#told.delete(entry)
        turn(what)
      }
      void this.source.seen({ tx: reply.tx, lsn: reply.lsn }, { timeoutMs: 15_000 }).then(
        () => over('seen'),
        // It was done: what the stream says in the end is right in any case.
        () => void tide.seen({ tx: reply.tx, lsn: reply.lsn }).catch(() => undefined).then(() => over('expired')),
      )
      return reply
    } catch (error) {
      turn('refused')
      refused(inWords(error))
      return null
    }
  }

  /** Two at once would refuse each other: each is asked for by the version that the one before it has made. */
  async #inTurn<T>(entry: Id, act: () => Promise<T>): Promise<T> {
    const mine = (this.#queues.get(entry) ?? Promise.resolve()).then(act, act)
    this.#queues.set(entry, mine)
    try {
      return await mine
    } finally {
      if (this.#queues.get(entry) === mine) this.#queues.delete(entry)
    }
  }

  async #send(entry: Id, ask: Ask, { again = false }: Manner, onWait: (waiting: boolean) => void): Promise<Reply<Entry>> {
    for (let left = again ? AGAIN : 0; ; left--) {
      const now = this.#newest(entry)
      if (!now) throw new Problem(404, { code: 'not_found' })
      try {
        const reply = await this.doing.api.send<Entry>(ask(now), onWait)
        this.#hear(entry, reply.row)
        return reply
      } catch (error) {
        const isStale = error instanceof Problem && error.code === 'stale_version'
        if (!isStale || left === 0 || !this.#hear(entry, error.current)) throw error
      }
    }
  }

  /** The card as the stream or a reply knows it, whichever is further. */
  #newest(entry: Id): Entry | undefined {
    const [row, told] = [this.#rows.get(entry), this.#told.get(entry)]
    return row && told && told.version >= row.version ? told : row
  }

  #hear(entry: Id, row: unknown): boolean {
    if (!isEntry(row)) return false
    this.#told.set(entry, row)
    return true
  }

  #take(rows: ReadonlyMap<string, Entry>, { reset, changes, tx }: Batch<Entry>): void {
    this.#rows = rows
    if (reset) {
      this.#reset = true
      this.#schedule()
      return
    }
    for (const change of changes) {
      const before = change.before
      const row = change.op === 'delete' ? undefined : change.row
      const isMove = before && row && (before.state_id !== row.state_id || before.position !== row.position)
      this.#dirty.set(change.key, { id: change.key, tx, kind: !before ? 'insert' : isMove ? 'move' : 'edit' })
    }
    if (changes.length > 0) this.#schedule()
  }

  /** What somebody does here is on the screen with the very next paint. */
  #redraw(entry: Id): void {
    if (!this.#dirty.has(entry)) this.#dirty.set(entry, { id: entry, kind: 'move' })
    this.#flush()
  }

  #schedule(): void {
    this.#frame ||= requestAnimationFrame(() => this.#flush())
  }

  #flush(): void {
    cancelAnimationFrame(this.#frame)
    this.#frame = 0
    if (!this.#reset) for (const listener of this.#before) listener(this.#dirty)
    if (this.#reset) {
      const shown: Card[] = []
      for (const row of this.#rows.values()) {
        const card = this.#overlay.over(row)
        if (card) shown.push(card)
      }
      this.columns.reset(shown)
    } else {
      for (const id of this.#dirty.keys()) {
        const row = this.#rows.get(id)
        const card = row && this.#overlay.over(row)
        if (card) this.columns.put(card)
        else this.columns.drop(id)
      }
    }
    this.#reset = false
    this.#dirty = new Map()
    this.#turn += 1
    for (const listener of this.#listeners) listener()
  }
}

/** Deletions have no row. */
function isEntry(row: unknown): row is Entry {
  return typeof row === 'object' && row !== null && 'version' in row && typeof row.version === 'number' && 'labels' in row
}
