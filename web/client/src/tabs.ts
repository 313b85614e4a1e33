import type { ClientFrame } from './frames.js'
import { Lead, type Said } from './lead.js'
import type { Connect, Line, LineEvents } from './line.js'

/** How long the tab that leads may take to answer. One that was frozen holds the lock and says nothing. */
const PATIENCE_MS = 3_000

/**
 * Tabs of one origin share one line: the tab that holds a lock lays it, and the others speak through that tab. When it goes,
 * the next one leads, and each goes on from its cursors.
 *
 * `scope` says who looks, as in a user's id: the line is the leading tab's, with its token. Where the platform has no locks,
 * each tab has a line of its own.
 */
export function tabs(scope: string): (connect: Connect) => Connect {
  return (connect) => {
    const { locks } = (globalThis.navigator ?? {}) as Partial<Navigator>
    if (!locks || typeof BroadcastChannel === 'undefined') return connect
    return (address, events, token) => new Member(`tidegate:${scope}:${address}`, locks, connect, address, events, token)
  }
}

/** One line of this tab: through another tab's, or as the one that leads. */
class Member implements Line {
  /** Another one for each line: what was said to the one before is not for this one. */
  readonly #me = Math.random().toString(36).slice(2, 10)
  readonly #channel: BroadcastChannel
  /** Aborted when the line is over: with it go the locks, by which the others know. */
  readonly #leaving = new AbortController()
  /** The line that this tab has for all. */
  #lead: Lead | undefined
  /** A line of this tab's alone. */
  #alone: Line | undefined
  /** Whether a `ready` of another tab's line was told. */
  #stands = false
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(
    private readonly name: string,
    private readonly locks: LockManager,
    private readonly connect: Connect,
    private readonly address: string,
    private readonly events: LineEvents,
    private readonly token: string | null,
  ) {
    this.#channel = new BroadcastChannel(name)
    this.#channel.onmessage = ({ data }) => this.#hear(data as Said)
    const { signal } = this.#leaving
    const held = () => new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    const hold = (lock: string, begin: () => void) =>
      locks.request(lock, { signal }, () => {
        begin()
        return signal.aborted ? undefined : held()
      }).catch(() => {})
    // By this one whoever leads knows that this tab is there.
    void hold(`${name}:${this.#me}`, () => this.#ask())
    void hold(name, () => this.#takeLead())
  }

  send(frame: ClientFrame): void {
    if (this.#alone) this.#alone.send(frame)
    else if (this.#lead) this.#lead.send(this.#me, frame)
    else this.#say({ kind: 'send', from: this.#me, frame })
  }

  close(): void {
    if (this.#leaving.signal.aborted) return
    if (this.#lead) this.#say({ kind: 'closed', code: 1001, reason: 'the tab that led has let go' })
    else this.#say({ kind: 'bye', from: this.#me })
    this.#end()
  }

  #ask(): void {
    this.#say({ kind: 'hello', from: this.#me })
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#goAlone(), PATIENCE_MS)
  }

  #goAlone(): void {
    if (this.#lead || this.#alone || this.#leaving.signal.aborted) return
    const closed = (code: number, reason: string) => this.#closed(code, reason)
    this.#alone = this.connect(this.address, { ...this.events, closed }, this.token)
  }

  /** Nobody leads, or whoever did has gone, and the line with it. */
  #takeLead(): void {
    if (this.#leaving.signal.aborted) return
    if (this.#alone || this.#stands) {
      // The others need not wait for a line of this tab's own, nor this tab for what is over.
      return this.#closed(1001, 'this tab leads now')
    }
    clearTimeout(this.#timer)
    const gone = (member: string) => this.locks.request(`${this.name}:${member}`, { signal: this.#leaving.signal }, () => {})
    this.#lead = new Lead(this.#me, (said) => this.#say(said), gone, {
      heard: () => this.events.heard(),
      frame: (frame) => this.events.frame(frame),
      closed: (code, reason) => this.#closed(code, reason),
    })
    // It may be closed as soon as it is laid.
    this.#lead.lay((events) => this.connect(this.address, events, this.token))
    // Those who wait ask again, and those of the line before begin anew.
    this.#say({ kind: 'closed', code: 1001, reason: 'another tab leads now' })
  }

  #hear(said: Said): void {
    if (said.kind === 'hello' || said.kind === 'bye' || said.kind === 'send') return this.#lead?.hear(said)
    if (this.#alone || this.#lead || ('to' in said && said.to !== this.#me)) return
    if (said.kind === 'welcome') clearTimeout(this.#timer)
    else if (said.kind === 'closed') {
      if (this.#stands) this.#closed(said.code, said.reason)
      else this.#ask()
    } else {
      this.#stands ||= said.frame.type === 'ready'
      // What all are told before it has been welcomed is not for it.
      if (this.#stands) this.events.frame(said.frame)
    }
  }

  #closed(code: number, reason: string): void {
    if (this.#leaving.signal.aborted) return
    this.#end()
    this.events.closed(code, reason)
  }

  #end(): void {
    clearTimeout(this.#timer)
    this.#lead?.close()
    this.#alone?.close()
    this.#leaving.abort()
    // What was said last is still on its way.
    setTimeout(() => this.#channel.close())
  }

  #say(said: Said): void {
    this.#channel.postMessage(said)
  }
}
