import { call } from './call.js'

/** A value that can be looked at, and watched. */
export interface Readable<T> {
  readonly current: T
  /** Calls `listener` with the value of now, and with each later one, until what it returns is called. */
  subscribe(listener: (value: T) => void): () => void
}

/** A {@link Readable} that its owner sets. */
export class Cell<T> implements Readable<T> {
  #listeners = new Set<(value: T) => void>()

  constructor(public current: T) {}

  set(value: T): void {
    this.current = value
    for (const listener of [...this.#listeners]) {
      call(listener, value)
      // One of them has set another: all have heard of that already.
      if (this.current !== value) return
    }
  }

  subscribe(listener: (value: T) => void): () => void {
    // One function may be here twice, and each time leave for itself.
    const own = (value: T) => listener(value)
    this.#listeners.add(own)
    call(own, this.current)
    return () => void this.#listeners.delete(own)
  }
}
