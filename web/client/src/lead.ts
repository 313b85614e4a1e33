import type { ClientFrame, ErrorFrame, ServerFrame, SubscribeFrame } from './frames.js'
import { AGAIN, type Connect, HANDOVER, type Line, type LineEvents } from './line.js'

/** What tabs say to each other. Without `to` it is for all. */
export type Said =
  /** To whoever leads: I want to speak through you, about so many subscriptions. */
  | { kind: 'hello'; from: string; wants: number }
  /** I no longer do. */
  | { kind: 'bye'; from: string }
  /** To whoever leads. */
  | { kind: 'send'; from: string; frame: ClientFrame; doubt?: boolean | undefined }
  /** From whoever leads: I hear you, and you will be told when the line stands. */
  | { kind: 'welcome'; to: string }
  /** So is the server. */
  | { kind: 'heard'; to: string }
  /** The line has no room for what you ask for. */
  | { kind: 'full'; to: string }
  | { kind: 'frame'; to?: string; frame: ServerFrame }
  /** The line is gone, or another tab leads now. */
  | { kind: 'closed'; code: number; reason: string }

/** Subscriptions on the line: the server takes 128 of one socket, where nobody has said otherwise. */
const MOST = 120
/** Frames at once, and how often one more: the server closes the line of whoever sends 200 at once, and then more than 50 a second. */
const BURST = 150
const PACE_MS = 25
/** Positions that are awaited at once on the line: the server takes up to 16. */
const AWAITED = 12
/** How long they rest where the server takes no more of them now, and does not say for how long. */
const REST_MS = 500
/** A line that was heard so lately is there, without being asked: less than the silence after which a tab asks. */
const LATELY_MS = 4_000
/** The codes that are about this tab, its token or its frames, and not about the others. */
const OWN = new Set([1009, 4400, 4401])

/** Where the line goes to. */
export interface Way {
  readonly connect: Connect
  readonly address: string
  readonly token: string | null
}

/** A subscription, and where it has come to. */
interface Held {
  readonly frame: SubscribeFrame
  cursor: string | undefined
  shape: string | undefined
  /** Its snapshot is not complete: a position of the whole line is not its own. */
  waits: boolean
}

/** The line of the tab that leads, for all tabs. */
export class Lead {
  #line: Line | undefined
  #ready: ServerFrame | undefined
  /** Whether the line stands: until then what is to be sent waits. */
  #stands = false
  #token: string | null
  /** Whether this tab has said who it is: what others ask is judged by that. */
  #spoke = false
  #over = false
  #heardAt = Date.now()
  /** When it was asked whether the other side is there; 0 once that is answered. */
  #pinged = 0
  #latencyMs: number | undefined
  /** As many subscriptions as the line takes, as far as that is known. */
  #most = MOST
  /** The subscriptions of each tab. */
  readonly #members = new Map<string, Map<string, Held>>()
  /** Who awaits a position. */
  readonly #awaited = new Map<string, Set<string>>()
  readonly #asked = new Set<string>()
  /** The tabs that wait for a `pong`. */
  readonly #pinging = new Set<string>()
  /** Those that were only told that the other side is there, since how far it is was not known. */
  readonly #unmeasured = new Set<string>()
  /** What waits to be sent, and how much of it may go at once. */
  #queue: ClientFrame[] = []
  #room = BURST
  #filledAt = Date.now()
  #flowing: ReturnType<typeof setTimeout> | undefined
  /** While it runs no position is asked for. */
  #resting: ReturnType<typeof setTimeout> | undefined

  constructor(
    private readonly me: string,
    private readonly way: Way,
    private readonly say: (said: Said) => void,
    /** Resolves when that tab is gone. */
    private readonly gone: (member: string) => Promise<unknown>,
    private readonly mine: LineEvents,
  ) {
    this.#members.set(me, new Map())
    this.#token = way.token
  }

  lay(): void {
    this.#stands = false
    this.#pinged = 0
    const { connect, address } = this.way
    const events: LineEvents = {
      shared: true,
      heard: () => {
        if (this.#over) return
        // The answer to a ping, perhaps, or nothing of the kind: it says nothing about latency.
        this.#pinged = 0
        this.#heard()
        this.mine.heard()
      },
      frame: (frame) => this.#over || this.#deal(frame),
      closed: (code, reason) => {
        if (this.#over) return
        // It is this tab's to say again what all have asked for: they need not know.
        if (code === AGAIN) return this.lay()
        this.say({ kind: 'closed', code: OWN.has(code) ? HANDOVER : code, reason })
        this.mine.closed(code, reason)
      },
    }
    this.#line = connect(address, events, this.#token)
  }

  hear(said: Extract<Said, { from: string }>): void {
    const { from } = said
    if (this.#over) return
    if (said.kind === 'bye') this.#part(from)
    else if (said.kind === 'hello') this.#welcome(from, said.wants)
    else if (this.#members.has(from)) this.send(from, said.frame, said.doubt)
  }

  send(from: string, frame: ClientFrame, doubt?: boolean): void {
    const isMine = from === this.me
    if (frame.type === 'ping') this.#ping(from, frame, doubt)
    else if (frame.type === 'await') {
      this.#awaited.set(frame.lsn, (this.#awaited.get(frame.lsn) ?? new Set()).add(from))
      this.#ask()
    } else if (frame.type === 'subscribe') this.#subscribe(from, frame)
    else if (frame.type === 'auth') {
      if (!isMine) return
      this.#token = frame.token
      this.#put(frame)
    } else {
      if (frame.type === 'unsubscribe') this.#members.get(from)!.delete(frame.id)
      this.#put({ ...frame, id: `${from}.${frame.id}` })
    }
    if (!isMine || this.#spoke) return
    this.#spoke = true
    for (const to of this.#members.keys()) if (to !== this.me) this.say({ kind: 'frame', to, frame: this.#ready! })
  }

  close(): void {
    this.#over = true
    clearTimeout(this.#flowing)
    clearTimeout(this.#resting)
    this.#line?.close()
  }

  #welcome(from: string, wants: number): void {
    if (!this.#members.has(from)) {
      if (this.#size + wants > this.#most) return this.say({ kind: 'full', to: from })
      this.#members.set(from, new Map())
      this.gone(from).then(
        () => this.#part(from),
        () => {},
      )
      if (this.#spoke) this.say({ kind: 'frame', to: from, frame: this.#ready! })
    }
    this.say({ kind: 'welcome', to: from })
  }

  #ping(from: string, frame: ClientFrame, doubt?: boolean): void {
    if (from !== this.me) {
      // That this tab is not frozen is known at once; about the line it may take a while.
      this.say({ kind: 'welcome', to: from })
      if (!doubt && Date.now() - this.#heardAt < LATELY_MS) return this.#pong(from)
      // Where nobody looks at this tab its own pings are seldom.
      this.#pinging.add(from)
    }
    this.#pinged ||= performance.now()
    this.#line!.send(frame, doubt)
  }

  #pong(to: string): void {
    if (this.#latencyMs !== undefined) return this.say({ kind: 'frame', to, frame: { type: 'pong', latency_ms: this.#latencyMs } })
    this.#unmeasured.add(to)
    this.say({ kind: 'heard', to })
  }

  #subscribe(from: string, frame: SubscribeFrame): void {
    const own = this.#members.get(from)!
    if (!own.has(frame.id) && this.#size >= this.#most && this.#yield(from) === from) return
    const { cursor, shape } = frame as { cursor?: string; shape?: string }
    own.set(frame.id, { frame: { ...frame, id: `${from}.${frame.id}` }, cursor, shape, waits: true })
    this.#put({ ...frame, id: `${from}.${frame.id}` })
  }

  get #size(): number {
    let size = 0
    for (const { size: of } of this.#members.values()) size += of
    return size
  }

  /** Makes room for a subscription of `member`: that tab gets a line of its own, or for this one the largest other. Returns which. */
  #yield(member: string): string | undefined {
    const others = [...this.#members].filter(([other, { size }]) => other !== this.me && size > 0).sort(([, a], [, b]) => b.size - a.size)
    const leaving = member === this.me ? others[0]?.[0] : member
    if (leaving !== undefined) {
      this.say({ kind: 'full', to: leaving })
      this.#part(leaving)
    }
    return leaving
  }

  /** A tab has gone, and what it asked for ends. */
  #part(member: string): void {
    if (this.#over) return
    for (const id of this.#members.get(member)?.keys() ?? []) this.#put({ type: 'unsubscribe', id: `${member}.${id}` })
    this.#members.delete(member)
    this.#pinging.delete(member)
  }

  #put(frame: ClientFrame): void {
    this.#queue.push(frame)
    this.#flow()
  }

  /** Sends what waits, at a pace that the server takes: after a handover all tabs ask at once. */
  #flow(): void {
    if (!this.#stands) return
    const more = Math.floor((Date.now() - this.#filledAt) / PACE_MS)
    this.#filledAt += more * PACE_MS
    this.#room = Math.min(BURST, this.#room + more)
    for (; this.#room > 0 && this.#queue.length > 0; this.#room--) this.#line!.send(this.#queue.shift()!)
    if (this.#queue.length === 0) return
    this.#flowing ??= setTimeout(() => {
      this.#flowing = undefined
      this.#flow()
    }, PACE_MS)
  }

  /** Whatever is heard, the other side is there. */
  #heard(): void {
    this.#heardAt = Date.now()
    for (const to of this.#pinging) this.#pong(to)
    this.#pinging.clear()
  }

  #ask(): void {
    for (const lsn of this.#awaited.keys()) {
      if (this.#resting || this.#asked.size >= AWAITED) return
      if (!this.#asked.has(lsn)) this.#put({ type: 'await', lsn })
      this.#asked.add(lsn)
    }
  }

  /** Hands a frame to whom it is for. */
  #deal(frame: ServerFrame): void {
    if (frame.type === 'pong' && this.#pinged) {
      this.#latencyMs = performance.now() - this.#pinged
      this.#pinged = 0
      for (const to of this.#unmeasured) this.#pong(to)
      this.#unmeasured.clear()
    }
    this.#heard()
    if (frame.type === 'ready') {
      this.#stands = true
      const again = this.#ready
      this.#ready = { ...frame, server: this.way.address }
      if (again) return this.#goOn()
    }
    if (frame.type === 'reached') {
      for (const to of this.#awaited.get(frame.lsn) ?? []) this.#tell(to, frame)
      this.#awaited.delete(frame.lsn)
      this.#asked.delete(frame.lsn)
      return this.#ask()
    }
    const [to, id] = 'id' in frame && frame.id ? frame.id.split('.') : []
    if (to !== undefined && id !== undefined) {
      const told = { ...frame, id } as ServerFrame
      const held = this.#members.get(to)?.get(id)
      if (held) follow(held, told)
      return told.type === 'error' ? this.#refused(to, told) : this.#tell(to, told)
    }
    // Which position it was is not said.
    if (frame.type === 'error' && frame.code === 'rate_limited') {
      this.#resting ??= setTimeout(() => {
        this.#resting = undefined
        this.#asked.clear()
        this.#ask()
      }, frame.retry_after_ms ?? REST_MS)
      return
    }
    this.mine.frame(frame)
    // All else is this tab's own affair: its token, its pings, and `ready` until it has said who it is.
    if (frame.type !== 'progress') return
    this.say({ kind: 'frame', frame })
    for (const own of this.#members.values()) for (const held of own.values()) if (!held.waits) held.cursor = frame.cursor
  }

  /** Another line has taken the place of the one before: each subscription goes on there. */
  #goOn(): void {
    this.#queue = this.#token === null ? [] : [{ type: 'auth', token: this.#token }]
    for (const own of this.#members.values()) for (const held of own.values()) this.#queue.push(opening(held))
    this.#flow()
    this.#asked.clear()
    this.#ask()
    this.mine.heard()
  }

  #refused(to: string, frame: ErrorFrame): void {
    if (frame.code === 'too_many_subscriptions' && this.#members.has(to)) {
      // This server takes fewer than most do.
      this.#most = Math.max(1, this.#size - 1)
      const left = this.#yield(to)
      if (left === to) return
      // Now there is room: it is asked for again in a moment.
      if (left !== undefined) frame = { ...frame, code: 'unavailable' }
    }
    if (!frame.request) this.#members.get(to)?.delete(frame.id!)
    this.#tell(to, frame)
  }

  #tell(to: string, frame: ServerFrame): void {
    if (to === this.me) this.mine.frame(frame)
    else this.say({ kind: 'frame', to, frame })
  }
}

function follow(held: Held, frame: ServerFrame): void {
  if (frame.type === 'subscribed') held.shape = frame.shape
  if (frame.type === 'subscribed' || frame.type === 'resync') held.waits = true
  if (frame.type === 'resync') held.cursor = undefined
  if (!('cursor' in frame) || !frame.cursor) return
  held.cursor = frame.cursor
  held.waits = false
}

/** As `Rows.opening` has it: a plain wish for a snapshot is for who has no place yet. */
function opening({ frame, cursor, shape }: Held): SubscribeFrame {
  const { snapshot = 'table' in frame || undefined } = frame
  return { ...frame, cursor, shape: cursor && shape, snapshot: cursor && snapshot === true ? undefined : snapshot }
}
