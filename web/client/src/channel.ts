import { call } from './call.js'
import type { TidegateError } from './error.js'
import type { CloudEvent, ServerFrame, SubscribeFrame } from './frames.js'
import type { Link, Subscription } from './link.js'

/** What is told beside the events: that some between the last and the next may be missing, and why. */
export interface ChannelListeners {
  /** The journal no longer reaches back to the last event: some are left out. */
  gap?(reason: string): void
  /** There will be no more. */
  failed?(error: TidegateError): void
}

/** How long a channel that nobody listens to is still followed: the next listener goes on from there. */
const LINGER_MS = 1_000

/** Events on a channel, as they are published. Asked for while somebody listens; resumed after a lost line. */
export class Channel<Data = unknown> implements Subscription {
  error: TidegateError | undefined
  waits = true

  #listeners = new Map<symbol, { event(event: CloudEvent<Data>): void } & ChannelListeners>()
  #id: string | undefined
  #cursor: string | undefined
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(
    private readonly link: Link,
    readonly name: string,
    /** Where it is found by who asks for the same. */
    private readonly home: Map<string, Channel>,
  ) {}

  /** Calls `event` with each event from now on. Returns how to stop. */
  on(event: (event: CloudEvent<Data>) => void, listeners: ChannelListeners = {}): () => void {
    const own = Symbol()
    this.#listeners.set(own, { ...listeners, event })
    clearTimeout(this.#timer)
    if (!this.home.has(this.name)) this.home.set(this.name, this as Channel)
    this.error = undefined
    this.#id ??= this.link.add(this)
    return () => {
      if (this.#listeners.delete(own) && this.#listeners.size === 0) this.#timer = setTimeout(() => this.#rest(), LINGER_MS)
    }
  }

  #rest(): void {
    if (this.#id !== undefined) this.link.remove(this.#id)
    this.#id = this.#cursor = undefined
    if (this.home.get(this.name) === (this as Channel)) this.home.delete(this.name)
  }

  opening(id: string): SubscribeFrame {
    this.waits = true
    return { type: 'subscribe', id, channel: this.name, cursor: this.#cursor }
  }

  take(frame: ServerFrame): void {
    if (frame.type === 'subscribed') this.waits = false
    if (frame.type === 'resync') {
      this.waits = false
      for (const { gap } of [...this.#listeners.values()]) call(gap, frame.reason)
    }
    if ('cursor' in frame && frame.cursor) this.reach(frame.cursor)
    if (frame.type !== 'events') return
    for (const one of frame.events) for (const { event } of [...this.#listeners.values()]) call(event, one as CloudEvent<Data>)
  }

  reach(cursor: string): void {
    this.#cursor = cursor
  }

  cut(): void {
    this.waits = true
  }

  fail(error: TidegateError): void {
    this.error = error
    this.#id = this.#cursor = undefined
    for (const { failed } of [...this.#listeners.values()]) call(failed, error)
  }
}
