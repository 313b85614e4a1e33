import type { ClientFrame, ServerFrame } from './frames.js'
import type { Line, LineEvents } from './line.js'

/** What tabs say to each other. Without `to` it is for all. */
export type Said =
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

/** Positions that are awaited at once on the line: the server takes up to 16. */
const AWAITED = 12
/** A line that was heard so lately is there, without being asked. */
const LATELY_MS = 10_000
/** The codes that are about this tab, its token or its frames, and not about the others. */
const OWN = new Set([1009, 4400, 4401])

/** The line of the tab that leads, for all tabs. */
export class Lead {
  #line: Line | undefined
  #ready: ServerFrame | undefined
  /** Whether this tab has said who it is: what others ask is judged by that. */
  #spoke = false
  #over = false
  #heardAt = Date.now()
  /** The subscriptions of each tab. */
  readonly #members = new Map<string, Set<string>>()
  /** Who awaits a position. */
  readonly #awaited = new Map<string, Set<string>>()
  readonly #asked = new Set<string>()
  /** The tabs that wait for a `pong`. */
  readonly #pinging = new Set<string>()

  constructor(
    private readonly me: string,
    private readonly say: (said: Said) => void,
    /** Resolves when that tab is gone. */
    private readonly gone: (member: string) => Promise<unknown>,
    private readonly mine: LineEvents,
  ) {
    this.#members.set(me, new Set())
  }

  lay(connect: (events: LineEvents) => Line): void {
    this.#line = connect({
      heard: () => {
        if (this.#over) return
        this.#heard()
        this.mine.heard()
      },
      frame: (frame) => this.#over || this.#deal(frame),
      closed: (code, reason) => {
        if (this.#over) return
        this.say(OWN.has(code) ? { kind: 'closed', code: 1001, reason: '' } : { kind: 'closed', code, reason })
        this.mine.closed(code, reason)
      },
    })
  }

  hear(said: Extract<Said, { from: string }>): void {
    const { from } = said
    if (said.kind === 'bye') this.#part(from)
    else if (said.kind === 'hello') {
      this.say({ kind: 'welcome', to: from })
      if (this.#members.has(from)) return
      this.#members.set(from, new Set())
      this.gone(from).then(
        () => this.#part(from),
        () => {},
      )
      if (this.#spoke) this.say({ kind: 'frame', to: from, frame: this.#ready! })
    } else if (this.#members.has(from)) this.send(from, said.frame)
  }

  send(from: string, frame: ClientFrame): void {
    const isMine = from === this.me
    if (frame.type === 'ping' && !isMine) {
      if (Date.now() - this.#heardAt < LATELY_MS) return this.say({ kind: 'frame', to: from, frame: { type: 'pong' } })
      // Where nobody looks at this tab its own pings are seldom.
      this.#pinging.add(from)
      this.#line!.send(frame)
    } else if (frame.type === 'await') {
      this.#awaited.set(frame.lsn, (this.#awaited.get(frame.lsn) ?? new Set()).add(from))
      this.#ask()
    } else if (frame.type !== 'auth' || isMine) {
      if (frame.type === 'subscribe') this.#members.get(from)!.add(frame.id)
      if (frame.type === 'unsubscribe') this.#members.get(from)!.delete(frame.id)
      this.#line!.send('id' in frame ? { ...frame, id: `${from}.${frame.id}` } : frame)
    }
    if (!isMine || this.#spoke) return
    this.#spoke = true
    for (const to of this.#members.keys()) if (to !== this.me) this.say({ kind: 'frame', to, frame: this.#ready! })
  }

  close(): void {
    this.#over = true
    this.#line?.close()
  }

  /** A tab has gone, and what it asked for ends. */
  #part(member: string): void {
    if (this.#over) return
    for (const id of this.#members.get(member) ?? []) this.#line!.send({ type: 'unsubscribe', id: `${member}.${id}` })
    this.#members.delete(member)
  }

  /** Whatever is heard, the other side is there. */
  #heard(): void {
    this.#heardAt = Date.now()
    for (const to of this.#pinging) this.say({ kind: 'frame', to, frame: { type: 'pong' } })
    this.#pinging.clear()
  }

  #ask(): void {
    for (const lsn of this.#awaited.keys()) {
      if (this.#asked.size >= AWAITED) return
      if (!this.#asked.has(lsn)) this.#line!.send({ type: 'await', lsn })
      this.#asked.add(lsn)
    }
  }

  /** Hands a frame to whom it is for. */
  #deal(frame: ServerFrame): void {
    this.#heard()
    if (frame.type === 'ready') this.#ready = frame
    if (frame.type === 'reached') {
      for (const to of this.#awaited.get(frame.lsn) ?? []) this.#tell(to, frame)
      this.#awaited.delete(frame.lsn)
      this.#asked.delete(frame.lsn)
      return this.#ask()
    }
    const [to, id] = 'id' in frame && frame.id ? frame.id.split('.') : []
    if (to !== undefined && id !== undefined) return this.#tell(to, { ...frame, id } as ServerFrame)
    this.mine.frame(frame)
    // All else is this tab's own affair: its token, its pings, and `ready` until it has said who it is.
    if (frame.type === 'progress') this.say({ kind: 'frame', frame })
  }

  #tell(to: string, frame: ServerFrame): void {
    if (to === this.me) this.mine.frame(frame)
    else this.say({ kind: 'frame', to, frame })
  }
}
