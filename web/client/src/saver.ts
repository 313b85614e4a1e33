import type { RowChange } from './batch.js'
import type { Keeper, Kept, Store } from './store.js'

/** How long changes are gathered before they are written. */
const GATHER_MS = 250
/** How long the whole waits at most after something was not kept, as where another tab keeps the same rows. */
const MOST_MS = 60_000
/** A store that does not answer is one that has nothing. */
const LOAD_MS = 2_000

/** Brings one subscription's rows to a store, a few times a second at most. */
export class Saver implements Keeper {
  #whole = true
  #changed = new Map<string, object | undefined>()
  #timer: ReturnType<typeof setTimeout> | undefined
  #wait = GATHER_MS
  #writing = false
  /** Gives up the turn to write, or the place in the queue for it. */
  #leave: (() => void) | undefined
  #isOurs = false
  readonly #writer = Math.random().toString(36).slice(2)

  constructor(
    private readonly store: Store,
    private readonly name: string,
    private readonly look: () => Kept | undefined,
  ) {}

  async load(): Promise<Kept | undefined> {
    const late = new Promise<undefined>((resolve) => setTimeout(resolve, LOAD_MS, undefined))
    return Promise.race([this.store.load(this.name).catch(() => undefined), late])
  }

  replace(): void {
    this.#whole = true
    this.#changed.clear()
    this.touch()
  }

  change(changes: readonly RowChange<object>[]): void {
    if (!this.#whole) for (const change of changes) this.#changed.set(change.key, change.op === 'delete' ? undefined : change.row)
    this.touch()
  }

  touch(): void {
    this.#leave ??= this.store.turn(this.name, () => {
      this.#isOurs = true
      this.#arm()
    })
    this.#arm()
  }

  #arm(): void {
    this.#timer ??= setTimeout(() => void this.#write(), this.#wait)
  }

  async flush(): Promise<void> {
    await this.#write()
    this.#yield()
  }

  /** Lets another tab write. */
  #yield(): void {
    this.#leave?.()
    this.#leave = undefined
    this.#isOurs = false
  }

  async #write(): Promise<void> {
    this.#stop()
    const kept = this.look()
    if (!kept) return
    if (!this.#isOurs) {
      this.#whole = true
      return this.#changed.clear()
    }
    if (this.#writing) return this.touch()
    if (kept.rows.size > this.store.maxRows) {
      if (!this.#whole || this.#changed.size > 0) void this.store.forget(this.name)
      this.#whole = true
      return this.#changed.clear()
    }
    const whole = this.#whole
    const update = { head: kept.head, writer: this.#writer, whole, rows: whole ? new Map(kept.rows) : this.#changed }
    this.#whole = false
    this.#changed = new Map()
    this.#writing = true
    const done = await this.store.save(this.name, update)
    this.#writing = false
    if (done) {
      // Nobody else has written since the time before.
      if (!whole) this.#wait = GATHER_MS
      return
    }
    this.#wait = Math.min(2 * this.#wait, MOST_MS)
    this.replace()
  }

  #stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  forget(): void {
    this.#stop()
    this.#yield()
    void this.store.forget(this.name)
  }
}
