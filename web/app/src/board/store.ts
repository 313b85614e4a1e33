import type { Batch, Rows, Tidegate } from '@tidegate/client'
import type { Api, Command, Reply } from '../api/http'
import { inWords } from '../api/problem'
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

/** A board's cards on the screen: follows the stream, and shows at once what was asked for here. */
export class BoardStore {
  readonly columns = new Columns()
  readonly #overlay = new Overlay()
  readonly #listeners = new Set<() => void>()
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

  /** Shows `patch` on a card at once, has `command` done, and takes it back if it is refused. */
  async attempt<R>(entry: Id, patch: Patch | 'gone', command: Command): Promise<Reply<R> | null> {
    const { tide, api, refused } = this.doing
    const key = this.#overlay.add(entry, patch)
    this.#redraw(entry)
    const turn = (what: Parameters<Overlay['turn']>[1]) => {
      this.#overlay.turn(key, what)
      this.#redraw(entry)
    }
    try {
      const reply = await api.send<R>(command, (waiting) => turn(waiting ? 'unreachable' : 'retry'))
      turn('accepted')
      void this.source.seen({ tx: reply.tx, lsn: reply.lsn }, { timeoutMs: 15_000 }).then(
        () => turn('seen'),
        // It was done: what the stream says in the end is right in any case.
        () => void tide.seen({ tx: reply.tx, lsn: reply.lsn }).catch(() => undefined).then(() => turn('expired')),
      )
      return reply
    } catch (error) {
      turn('refused')
      refused(inWords(error))
      return null
    }
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
