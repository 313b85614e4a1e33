import type { ClientFrame, ServerFrame } from './frames.js'
import type { Connect, Line, LineEvents } from './line.js'

/** How long the tab that leads may take to answer. One that was frozen holds the lock and says nothing. */
const PATIENCE_MS = 3_000

/** What tabs say to each other. Without `to` it is for all. */
type Said =
  /** To whoever leads: I want to speak through you. */
  | { kind: 'hello'; from: string }
  /** I no longer do. */
  | { kind: 'bye'; from: string }
  /** To whoever leads. */
  | { kind: 'send'; from: string; frame: ClientFrame }
  /** From whoever leads: you will be told when the line stands. */
  | { kind: 'welcome'; to: string }
  | { kind: 'frame'; to?: string; frame: ServerFrame }
  /** The line is gone, or another tab leads now. */
  | { kind: 'closed'; code: number; reason: string }

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
    const tab = new Tab(`tidegate:${scope}`, locks, connect)
    return (address, events, token) => tab.lay({ address, events, token })
  }
}

/** What this tab's client asked for. */
interface Mine {
  readonly address: string
  readonly events: LineEvents
  readonly token: string | null
}

class Tab {
  readonly #channel: BroadcastChannel
  readonly #me = Math.random().toString(36).slice(2, 8)
  #mine: Mine | undefined
  /** A line of this tab's alone. */
  #alone: Line | undefined
  /** Whether a `ready` of another tab's line was told. */
  #stands = false
  /** There while this tab leads: releases the lock. */
  #release: (() => void) | undefined
  #lead: Lead | undefined
  #queue: AbortController | undefined
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(
    private readonly name: string,
    private readonly locks: LockManager,
    private readonly connect: Connect,
  ) {
    this.#channel = new BroadcastChannel(name)
    this.#channel.onmessage = ({ data }) => this.#hear(data as Said)
  }

  lay(mine: Mine): Line {
    this.#mine = mine
    this.#stands = false
    if (this.#release) this.#takeLead(mine)
    else this.#ask()
    return {
      send: (frame) => {
        if (this.#mine !== mine) return
        if (this.#alone) this.#alone.send(frame)
        else if (this.#lead) this.#lead.send(this.#me, frame)
        else this.#say({ kind: 'send', from: this.#me, frame })
      },
      close: () => this.#mine === mine && this.#leave(),
    }
  }

  /** Asks whoever leads, and stands in line for when nobody does. */
  #ask(): void {
    this.#say({ kind: 'hello', from: this.#me })
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      const mine = this.#mine
      if (mine && !this.#lead) this.#alone = this.connect(mine.address, mine.events, mine.token)
    }, PATIENCE_MS)
    if (this.#queue) return
    const queue = (this.#queue = new AbortController())
    this.locks.request(this.name, { signal: queue.signal }, () => this.#granted()).catch(() => {})
  }

  /** Holds the lock until what it returns resolves. */
  #granted(): Promise<void> | undefined {
    this.#queue = undefined
    const mine = this.#mine
    if (!mine || this.#alone) return undefined
    const held = new Promise<void>((resolve) => (this.#release = resolve))
    // Whoever led has gone, and the line with it.
    this.#say({ kind: 'closed', code: 1001, reason: 'another tab leads now' })
    if (this.#stands) this.#closed(1001, 'this tab leads now')
    else this.#takeLead(mine)
    return held
  }

  #takeLead({ address, token }: Mine): void {
    clearTimeout(this.#timer)
    this.#lead = new Lead(this.#me, (said) => this.#say(said), (events) => this.connect(address, events, token), {
      heard: () => this.#mine?.events.heard(),
      frame: (frame) => this.#mine?.events.frame(frame),
      closed: (code, reason) => {
        this.#resign()
        this.#closed(code, reason)
      },
    })
  }

  #resign(): void {
    this.#lead?.close()
    this.#lead = undefined
    this.#release?.()
    this.#release = undefined
  }

  #leave(): void {
    this.#mine = undefined
    clearTimeout(this.#timer)
    this.#queue?.abort()
    this.#queue = undefined
    this.#alone?.close()
    this.#alone = undefined
    if (this.#release) {
      this.#say({ kind: 'closed', code: 1001, reason: 'the tab that led has let go' })
      this.#resign()
    } else this.#say({ kind: 'bye', from: this.#me })
  }

  #hear(said: Said): void {
    if (said.kind === 'hello' || said.kind === 'bye' || said.kind === 'send') return this.#lead?.hear(said)
    if (this.#alone || this.#release || !this.#mine || ('to' in said && said.to !== this.#me)) return
    if (said.kind === 'welcome') clearTimeout(this.#timer)
    else if (said.kind === 'closed') {
      if (this.#stands || said.code !== 1001) this.#closed(said.code, said.reason)
      else this.#ask()
    } else {
      this.#stands ||= said.frame.type === 'ready'
      // What all are told before it was welcomed is not for it.
      if (this.#stands) this.#mine.events.frame(said.frame)
    }
  }

  /** Tells this tab's client, which comes again as it sees fit. */
  #closed(code: number, reason: string): void {
    clearTimeout(this.#timer)
    const mine = this.#mine
    this.#mine = undefined
    mine?.events.closed(code, reason)
    // Who does not come again need not keep the others from leading.
    if (!this.#mine && this.#release) setTimeout(() => !this.#mine && this.#resign(), PATIENCE_MS)
  }

  #say(said: Said): void {
    this.#channel.postMessage(said)
  }
}

/** The line that this tab has for all. */
class Lead {
  readonly #line: Line
  #ready: ServerFrame | undefined
  /** Whether this tab has said who it is: what others ask is judged by that. */
  #spoke = false
  #members = new Set<string>()
  #over = false

  constructor(
    private readonly me: string,
    private readonly say: (said: Said) => void,
    lay: (events: LineEvents) => Line,
    private readonly mine: LineEvents,
  ) {
    this.#line = lay({
      heard: () => this.#over || mine.heard(),
      frame: (frame) => this.#over || this.#deal(frame),
      closed: (code, reason) => {
        if (this.#over) return
        this.say({ kind: 'closed', code, reason })
        mine.closed(code, reason)
      },
    })
  }

  hear(said: Extract<Said, { from: string }>): void {
    if (said.kind === 'bye') this.#members.delete(said.from)
    else if (said.kind === 'hello') {
      this.say({ kind: 'welcome', to: said.from })
      if (this.#spoke) this.say({ kind: 'frame', to: said.from, frame: this.#ready! })
      else this.#members.add(said.from)
    } else if (said.frame.type !== 'auth') this.send(said.from, said.frame)
  }

  send(from: string, frame: ClientFrame): void {
    this.#line.send('id' in frame ? { ...frame, id: `${from}.${frame.id}` } : frame)
    if (from !== this.me || this.#spoke) return
    this.#spoke = true
    for (const to of this.#members) this.say({ kind: 'frame', to, frame: this.#ready! })
  }

  close(): void {
    this.#over = true
    this.#line.close()
  }

  /** Hands a frame to whom it is for. */
  #deal(frame: ServerFrame): void {
    if (frame.type === 'ready') this.#ready = frame
    const [to, id] = 'id' in frame && frame.id ? frame.id.split('.') : []
    if (to !== undefined && id !== undefined) {
      const own = { ...frame, id } as ServerFrame
      if (to === this.me) this.mine.frame(own)
      else this.say({ kind: 'frame', to, frame: own })
      return
    }
    this.mine.frame(frame)
    // Tokens are this tab's own affair, and `ready` is told once it has brought one.
    if (frame.type !== 'token_expiring' && frame.type !== 'ready') this.say({ kind: 'frame', frame })
  }
}
