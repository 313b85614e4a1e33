import type { ClientFrame } from './frames.js'
import { Lead, type Said } from './lead.js'
import { type Connect, HANDOVER, type Line, type LineEvents } from './line.js'

/** How long the tab that leads may take to answer. One that was frozen holds the lock and says nothing. */
const PATIENCE_MS = 3_000
/** The same once it has answered before: less than the least time that a line has to answer. */
const ANSWER_MS = 2_000

/** What outlasts a line of this tab. */
interface Tab {
  /** What locks and channel are named after: the same in each tab, whichever of the addresses is in use. */
  readonly name: string
  readonly locks: LockManager
  readonly connect: Connect
  /** The subscriptions that it had last: whether there is room for them on another tab's line. */
  wants: number
}

/**
 * Tabs of one origin share one line: the tab that holds a lock lays it, and the others speak through that tab. When it goes,
 * the next one leads, and each goes on from its cursors. A tab that the line has no room for, or that the one that leads does
 * not answer, has a line of its own until it can share.
 *
 * `scope` says who looks, as in a user's id: the line is the leading tab's, with its token. Where the platform has no locks,
 * each tab has a line of its own.
 */
export function tabs(scope: string): (connect: Connect, addresses: readonly string[]) => Connect {
  return (connect, addresses) => {
    const { locks } = (globalThis.navigator ?? {}) as Partial<Navigator>
    if (!locks || typeof BroadcastChannel === 'undefined') return connect
    const tab: Tab = { name: `tidegate:${scope}:${[...addresses].sort().join()}`, locks, connect, wants: 0 }
    return (address, events, token) => new Member(tab, address, events, token)
  }
}

/** One line of this tab: through another tab's, or as the one that leads. */
class Member implements Line {
  /** Another one for each line: what was said to the one before is not for this one. */
  readonly #me = Math.random().toString(36).slice(2, 10)
  readonly #channel: BroadcastChannel
  /** Aborted when the line is over: with it go the locks, by which the others know. */
  readonly #leaving = new AbortController()
  /** Whether this tab holds its own lock: before that it would be taken for gone. */
  #present = false
  /** The line that this tab has for all. */
  #lead: Lead | undefined
  /** A line of this tab's alone. */
  #alone: Line | undefined
  /** Whether a `ready` of another tab's line was told. */
  #stands = false
  #timer: ReturnType<typeof setTimeout> | undefined
  readonly #ids = new Set<string>()

  constructor(
    private readonly tab: Tab,
    private readonly address: string,
    private readonly events: LineEvents,
    private readonly token: string | null,
  ) {
    this.#channel = new BroadcastChannel(tab.name)
    this.#channel.onmessage = ({ data }) => this.#hear(data as Said)
    const { signal } = this.#leaving
    const held = () => new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    const hold = (lock: string, begin: () => void) =>
      tab.locks.request(lock, { signal }, () => {
        begin()
        return signal.aborted ? undefined : held()
      }).catch(() => {})
    // By this one whoever leads knows that this tab is there.
    void hold(`${tab.name}:${this.#me}`, () => {
      this.#present = true
      this.#ask()
    })
    void hold(tab.name, () => this.#takeLead())
  }

  send(frame: ClientFrame, doubt?: boolean): void {
    if (frame.type === 'subscribe') this.tab.wants = this.#ids.add(frame.id).size
    if (frame.type === 'unsubscribe' && this.#ids.delete(frame.id)) this.tab.wants = this.#ids.size
    if (this.#alone) return this.#alone.send(frame, doubt)
    if (this.#lead) return this.#lead.send(this.#me, frame, doubt)
    this.#say({ kind: 'send', from: this.#me, frame, doubt })
    // The other tab may be frozen while the server is there: that is not the server's failure.
    if (frame.type === 'ping') this.#wait(ANSWER_MS, () => this.#closed(HANDOVER, 'the tab that leads does not answer'))
  }

  close(): void {
    if (this.#leaving.signal.aborted) return
    if (this.#lead) this.#say({ kind: 'closed', code: HANDOVER, reason: 'the tab that led has let go' })
    else this.#say({ kind: 'bye', from: this.#me })
    this.#end()
  }

  /** Asks whoever leads to speak for this tab, again and again while that has no answer. */
  #ask(): void {
    if (this.#lead || !this.#present || this.#leaving.signal.aborted) return
    this.#say({ kind: 'hello', from: this.#me, wants: this.tab.wants })
    this.#wait(PATIENCE_MS, () => this.#goAlone())
  }

  #goAlone(): void {
    const closed = (code: number, reason: string) => this.#closed(code, reason)
    this.#alone ??= this.tab.connect(this.address, { ...this.events, closed }, this.token)
    this.#wait(PATIENCE_MS, () => this.#ask())
  }

  /** Nobody leads, or whoever did has gone, and the line with it. */
  #takeLead(): void {
    if (this.#leaving.signal.aborted) return
    if (this.#alone || this.#stands) {
      // The others need not wait for a line of this tab's own, nor this tab for what is over.
      return this.#closed(HANDOVER, 'this tab leads now')
    }
    clearTimeout(this.#timer)
    const { name, locks, connect } = this.tab
    const gone = (member: string) => locks.request(`${name}:${member}`, { signal: this.#leaving.signal }, () => {})
    this.#lead = new Lead(this.#me, { connect, address: this.address, token: this.token }, (said) => this.#say(said), gone, {
      heard: () => this.events.heard(),
      frame: (frame) => this.events.frame(frame),
      closed: (code, reason) => this.#closed(code, reason),
    })
    // It may be closed as soon as it is laid.
    this.#lead.lay()
    // Those who wait ask again, and those of the line before begin anew.
    this.#say({ kind: 'closed', code: HANDOVER, reason: 'another tab leads now' })
  }

  #hear(said: Said): void {
    if (said.kind === 'hello' || said.kind === 'bye' || said.kind === 'send') return this.#lead?.hear(said)
    if (this.#lead || ('to' in said && said.to !== this.#me)) return
    if (this.#alone) {
      // The line of the tab that leads stands, and has room.
      if (said.kind === 'frame' && said.frame.type === 'ready') this.#closed(HANDOVER, 'another tab leads')
      return
    }
    switch (said.kind) {
      case 'welcome':
        return clearTimeout(this.#timer)
      case 'heard':
        return this.events.heard()
      case 'full':
        return this.#stands ? this.#closed(HANDOVER, 'there is no room') : this.#goAlone()
      case 'closed':
        return this.#stands ? this.#closed(said.code, said.reason) : this.#ask()
      case 'frame':
        this.#stands ||= said.frame.type === 'ready'
        // What all are told before it has been welcomed is not for it.
        if (!this.#stands) return
        clearTimeout(this.#timer)
        this.events.frame(said.frame)
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

  #wait(ms: number, then: () => void): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(then, ms)
  }

  #say(said: Said): void {
    this.#channel.postMessage(said)
  }
}
