import { TidegateError } from './error.js'
import type { ErrorFrame, ServerFrame, SubscribeFrame, Wire } from './frames.js'
import { AGAIN, type Connect, HANDOVER, type Line } from './line.js'
import { Cell } from './readable.js'
import { lsnOf } from './values.js'

/** Why a token is asked for: for a new line, since the one at hand ends soon, or since the server did not take it. */
export type TokenReason = 'connect' | 'renew' | 'refused'

/** Brings the token of whoever looks; null where there is none to bring. */
export type TokenSource = (reason: TokenReason) => string | null | undefined | Promise<string | null | undefined>

/** How it stands with the server. */
export interface Status {
  /**
   * `idle`: nothing is asked for. `connecting`: for the first time. `live`. `resuming`: a line is laid anew.
   * `offline`: no line, until `retryAt`. `ended`: it does not return, `error` says why.
   */
  readonly state: 'idle' | 'connecting' | 'live' | 'resuming' | 'offline' | 'ended'
  /** The address of the server. */
  readonly server: string
  /** Round trip of the last ping, in milliseconds. */
  readonly latencyMs?: number
  /** Subscriptions that wait for their rows or for what they missed, and writes that have not come round. */
  readonly pending: number
  /** When it is tried again, as `Date.now()` counts. */
  readonly retryAt?: number
  readonly error?: TidegateError
}

/** What a line carries for somebody. */
export interface Subscription {
  /** What to send to begin, or to go on where it was. */
  opening(id: string): SubscribeFrame
  take(frame: ServerFrame): void
  /** Everything up to here has been delivered. */
  reach(cursor: string): void
  /** The line is gone. */
  cut(): void
  /** It is refused for good. */
  fail(error: TidegateError): void
  /** Whether it still waits for its rows, or for what it missed. */
  readonly waits: boolean
}

/** After so much silence the other side is asked whether it is there, and has as long again to answer. */
const SILENCE_MS = 5_000
/** How long it has when there is a reason to doubt: after sleep, or when the network changed. */
const DOUBT_MS = 2_500
/** How long a line may take to stand. */
const LAY_MS = 10_000
/** Positions that are asked for at once. */
const ASKED = 8
const LEAST_MS = 500
const MOST_MS = 30_000
/** A line that stood for so long begins anew with short waits. */
const SETTLED_MS = 30_000
/** A line that nobody needs is kept for a moment: the next view asks for the next rows. */
const LINGER_MS = 2_000
/** So often a server that goes away is left at once for the next, until a line has settled: each might send us on. */
const TURNS = 4

/** The codes after which returning would not help. */
const FINAL = [1008, 1009, 4400, 4403]
/** Errors that are about the moment and not about the request. */
const PASSING = ['unavailable', 'rate_limited', 'internal']

/** The one line of a client: laid while somebody needs it, and laid again whenever it is lost. */
export class Link {
  readonly status: Cell<Status>
  readonly subscriptions = new Map<string, Subscription>()
  /** The writes that wait, by position. */
  readonly awaited = new Map<string, Set<() => void>>()

  #line: Line | null = null
  /** The positions that the server was asked for on this line. */
  #asked = new Set<string>()
  #ready = false
  #at = 0
  #attempts = 0
  #turns = 0
  /** Until when the server wants to be left alone. */
  #least = 0
  #ids = 0
  #live = false // whether a line ever stood
  #over = false
  #refusals = 0
  /** How often in a row a subscription failed for the moment. */
  #failures = new Map<string, number>()
  #brought = 0 // when a token was brought last
  #pinged = 0
  #timers = new Map<string, ReturnType<typeof setTimeout>>()
  #unwatch: (() => void) | undefined

  constructor(
    readonly addresses: readonly string[],
    readonly lay: Connect,
    readonly token: TokenSource | undefined,
  ) {
    this.status = new Cell<Status>({ state: 'idle', server: addresses[0]!, pending: 0 })
  }

  add(subscription: Subscription): string {
    const id = (++this.#ids).toString(36)
    this.subscriptions.set(id, subscription)
    const { error } = this.status.current
    // What has ended does not begin again.
    if (error) queueMicrotask(() => this.subscriptions.delete(id) && subscription.fail(error))
    if (this.#ready) this.#line!.send(subscription.opening(id))
    this.need()
    return id
  }

  remove(id: string): void {
    this.#forget(`again ${id}`)
    this.#failures.delete(id)
    if (this.subscriptions.delete(id) && this.#ready) this.#line!.send({ type: 'unsubscribe', id })
    this.#rest()
  }

  /** Older rows for a subscription; the answer is its `page` frame. */
  page(id: string, after: Wire, limit: number): boolean {
    if (this.#ready) this.#line!.send({ type: 'page', id, after, limit })
    return this.#ready
  }

  /** Tells `reached` once everything up to `lsn` has been delivered. Returns how to stop waiting. */
  await(lsn: string, reached: () => void): () => void {
    const waiting = this.awaited.get(lsn) ?? new Set()
    this.awaited.set(lsn, waiting.add(reached))
    this.#ask()
    this.need()
    return () => {
      if (waiting.delete(reached) && waiting.size === 0 && this.awaited.get(lsn) === waiting) this.awaited.delete(lsn)
      this.#rest()
    }
  }

  /** A line is wanted, if there is none. */
  need(): void {
    this.#forget('rest')
    const { state } = this.status.current
    if (state === 'idle') this.#connect()
    else this.report()
  }

  /** Looks at once whether the other side is there, and does not wait any longer for the next attempt than the server asked for. */
  wake(): void {
    if (this.#ready) this.#ping(true)
    else if (this.#timers.has('return') && Date.now() >= this.#least) this.#connect()
  }

  close(error: TidegateError): void {
    this.#end(error)
  }

  /** Tells the state of now, as far as it is another. */
  report(change?: Partial<Status>): void {
    const { current } = this.status
    const pending = this.#pending
    if (change || pending !== current.pending) this.status.set({ ...current, ...change, pending })
  }

  #say(state: Status['state'], more?: Partial<Status>): void {
    this.status.set({ state, server: this.#address, pending: this.#pending, ...more })
  }

  get #pending(): number {
    let pending = this.awaited.size
    for (const subscription of this.subscriptions.values()) if (subscription.waits) pending++
    return pending
  }

  get #address(): string {
    return this.addresses[this.#at % this.addresses.length]!
  }

  #connect(reason: TokenReason = 'connect'): void {
    this.#forget('return')
    this.#unwatch ??= watch(
      () => this.wake(),
      () => this.#line && this.#lost(AGAIN, ''),
    )
    this.#say(this.#live ? 'resuming' : 'connecting')
    if (this.#over) return
    const attempt = { send() {}, close() {} }
    this.#line = attempt
    this.#bring(reason).then(
      (token) => {
        if (this.#line !== attempt) return
        this.#after('silence', LAY_MS, () => this.#lost(1006, 'no answer'))
        const mine = <A extends unknown[]>(action: (...args: A) => void) => (...args: A) => void (this.#line === line && action(...args))
        const line: Line = this.lay(
          this.#address,
          {
            heard: mine(() => this.#heard()),
            frame: mine((frame) => this.#take(frame, token)),
            closed: mine((code, why) => this.#lost(code, why)),
          },
          token,
        )
        this.#line = line
      },
      (error: unknown) => void (this.#line === attempt && this.#lost(1006, String(error))),
    )
  }

  async #bring(reason: TokenReason): Promise<string | null> {
    return (await this.token?.(reason)) ?? null
  }

  #take(frame: ServerFrame, token: string | null): void {
    this.#heard()
    switch (frame.type) {
      case 'ready':
        // The line may be another tab's, to another server.
        if (frame.server) this.#at = this.addresses.indexOf(frame.server)
        return this.#open(token)
      case 'pong':
        if (this.#pinged) this.report({ latencyMs: frame.latency_ms ?? performance.now() - this.#pinged })
        this.#pinged = 0
        return
      case 'progress':
        for (const subscription of this.subscriptions.values()) if (!subscription.waits) subscription.reach(frame.cursor)
        return
      case 'reached':
        return this.#reached(frame.lsn)
      case 'token_expiring':
        return this.#expire(Date.parse(frame.expires_at))
      case 'error':
        return this.#refused(frame)
      default: {
        if (frame.type === 'subscribed') {
          this.#refusals = 0
          this.#failures.delete(frame.id)
        }
        // A frame for a subscription that has just been given up is late, and of no interest.
        this.subscriptions.get(frame.id)?.take(frame)
        if (frame.type !== 'changes') this.report()
      }
    }
  }

  /** Asks for positions that are awaited, a few at once: the server takes up to 16. */
  #ask(): void {
    if (!this.#ready) return
    for (const lsn of this.awaited.keys()) {
      if (this.#asked.size >= ASKED) return
      if (!this.#asked.has(lsn)) this.#line!.send({ type: 'await', lsn })
      this.#asked.add(lsn)
    }
  }

  #reached(lsn: string): void {
    this.#asked.delete(lsn)
    for (const [awaited, waiting] of [...this.awaited]) {
      if (lsnOf(awaited)! <= lsnOf(lsn)!) for (const reached of [...waiting]) reached()
    }
    this.#ask()
  }

  #open(token: string | null): void {
    this.#ready = this.#live = true
    this.#after('settled', SETTLED_MS, () => (this.#attempts = this.#turns = 0))
    if (token) this.#authenticate(token)
    for (const [id, subscription] of this.subscriptions) this.#line!.send(subscription.opening(id))
    this.#asked.clear()
    this.#ask()
    this.#say('live')
    this.#ping()
    this.#rest()
  }

  #authenticate(token: string): void {
    this.#brought = Date.now()
    this.#line!.send({ type: 'auth', token })
  }

  /** Renews. Of a token that is short from the start the server tells at once: then half of its time is soon enough. */
  #expire(at: number): void {
    const [left, held] = [at - Date.now(), Date.now() - this.#brought]
    this.#after('renew', Math.max(0, (left - held) / 2), () => {
      const line = this.#line
      this.#bring('renew').then(
        (token) => void (token && line === this.#line && this.#authenticate(token)),
        // Until its end the old one holds; then the server closes, and it is asked again.
        () => {},
      )
    })
  }

  /** An error ends the subscription that it names. What fails for the moment is asked for again. */
  #refused(frame: ErrorFrame): void {
    const { id = '', code, request, retry_after_ms: least = 0 } = frame
    const subscription = this.subscriptions.get(id)
    if (!subscription) {
      // A position that was awaited, it may be: asked for again in a while.
      if (code === 'rate_limited') {
        this.#after('ask', Math.max(least, jitter(1)), () => {
          this.#asked.clear()
          this.#ask()
        })
      }
      return
    }
    if (request === 'page') subscription.take(frame)
    // Neither of us knows any more what that subscription is.
    else if (request) this.#lost(1006, code)
    else if (PASSING.includes(code) || frame.retry_after_ms !== undefined) {
      subscription.cut()
      const failures = (this.#failures.get(id) ?? 0) + 1
      this.#failures.set(id, failures)
      this.#after(`again ${id}`, Math.max(least, jitter(failures)), () => {
        if (this.#ready) this.#line!.send(subscription.opening(id))
      })
    } else {
      this.subscriptions.delete(id)
      subscription.fail(TidegateError.of(frame))
      this.#rest()
    }
    this.report()
  }

  #ping(doubt = false): void {
    this.#pinged = performance.now()
    // Before it is sent: some answer at once.
    this.#after('silence', doubt ? DOUBT_MS : SILENCE_MS, () => this.#lost(1006, 'silence'))
    this.#line!.send({ type: 'ping' }, doubt)
  }

  #heard(): void {
    this.#after('silence', SILENCE_MS, () => this.#ready && this.#ping())
  }

  #lost(code: number, reason: string): void {
    const stood = this.#ready
    this.#drop()
    if (code !== AGAIN) for (const subscription of this.subscriptions.values()) subscription.cut()
    if (this.#over) return
    if (code >= HANDOVER) return this.#connect()
    if (FINAL.includes(code)) return this.#end(new TidegateError('refused', `the server closed with ${code}: ${reason}`))
    if (code === 4401) {
      if (this.#refusals++ === 0 && this.token) return this.#connect('refused')
      return this.#end(new TidegateError('unauthenticated', `the token was refused: ${reason}`))
    }
    // That server goes or does not answer, so the next one is the better place.
    if (code === 1001 || code === 1006) this.#at++
    if (code === 1001 && stood && this.#turns++ < TURNS) return this.#connect()
    const least = +(/retry_after_ms=(\d+)/.exec(reason)?.[1] ?? 0)
    const wait = Math.max(least, jitter(this.#attempts++))
    this.#least = Date.now() + least
    this.#say('offline', { retryAt: Date.now() + wait })
    this.#after('return', wait, () => this.#connect())
  }

  #drop(): void {
    this.#line?.close()
    this.#line = null
    this.#ready = false
    this.#pinged = 0
    for (const name of [...this.#timers.keys()]) this.#forget(name)
  }

  #end(error: TidegateError): void {
    if (this.#over) return
    this.#over = true
    this.#drop()
    this.#unwatch?.()
    this.#unwatch = undefined
    const left = [...this.subscriptions.values()]
    this.subscriptions.clear()
    this.#refusals = 0
    this.#say('ended', { error })
    for (const subscription of left) subscription.fail(error)
  }

  /** Lets the line go once nobody needs it. */
  #rest(): void {
    this.report()
    if (this.subscriptions.size > 0 || this.awaited.size > 0) return
    this.#after('rest', LINGER_MS, () => {
      this.#drop()
      this.#unwatch?.()
      this.#unwatch = undefined
      this.#say('idle')
    })
  }

  #after(name: string, ms: number, action: () => void): void {
    this.#forget(name)
    if (this.#over) return
    this.#timers.set(
      name,
      setTimeout(() => {
        this.#timers.delete(name)
        action()
      }, ms),
    )
  }

  #forget(name: string): void {
    clearTimeout(this.#timers.get(name))
    this.#timers.delete(name)
  }
}

/** Full jitter, so that those who lost the same server do not all come at once. */
const jitter = (attempt: number): number => LEAST_MS + Math.random() * Math.min(MOST_MS - LEAST_MS, LEAST_MS * 2 ** attempt)

/**
 * Calls `wake` when the machine wakes, the page is looked at again, or the network is another one; `back` when the browser
 * takes the page out of where it kept it with everything standing still.
 */
function watch(wake: () => void, back: () => void): () => void {
  const scope = globalThis as Partial<Window & typeof globalThis>
  if (!scope.addEventListener) return () => {}
  const leaving = new AbortController()
  const options = { signal: leaving.signal }
  for (const event of ['online', 'offline']) scope.addEventListener(event, wake, options)
  scope.addEventListener('pageshow', ({ persisted }) => (persisted ? back() : wake()), options)
  scope.document?.addEventListener('visibilitychange', () => scope.document!.visibilityState === 'visible' && wake(), options)
  return () => leaving.abort()
}
