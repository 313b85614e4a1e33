import { forget, isOwn, keptPerson, type Person } from './kept'
import { fetchPage, keptPage, type PageSettings } from './page'
import type { Provider } from './provider'

export type Session =
  | { kind: 'starting' }
  | { kind: 'unreachable' }
  | { kind: 'signed-out'; page: PageSettings; why?: string }
  | { kind: 'viewing'; page: PageSettings }
  | { kind: 'in'; page: PageSettings; person: Person }

const FORGET_MS = 2_000

/** Who uses this tab, from the first paint to the sign-out. */
export class Sessions {
  #current: Session = { kind: 'starting' }
  #listeners = new Set<() => void>()
  #provider: Promise<Provider> | null = null
  /** Whether the tab is the one that the kept sign-in is of. */
  #own: Promise<boolean> = Promise.resolve(true)
  /** What has to be done away with when they leave. */
  #traces = new Set<() => Promise<void>>()

  get current(): Session {
    return this.#current
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Has `forget` called when whoever is in signs out, or is signed out. */
  leaving(forget: () => Promise<void>): () => void {
    this.#traces.add(forget)
    return () => this.#traces.delete(forget)
  }

  /** Whose views are gone by then: they would only draw that their line has been closed. */
  async #leave(next: Session): Promise<void> {
    const traces = [...this.#traces]
    this.#be(next)
    // Another tab that holds on to what is kept is nothing to wait for.
    await Promise.race([Promise.allSettled(traces.map((forget) => forget())), new Promise((resolve) => setTimeout(resolve, FORGET_MS))])
  }

  #be(session: Session): void {
    this.#current = session
    for (const listener of this.#listeners) listener()
  }

  async start(): Promise<void> {
    const query = new URLSearchParams(location.search)
    const answered = query.has('state') && (query.has('code') || query.has('error'))
    const kept = keptPage()
    // A reload goes on with what it knew; what has changed meanwhile is found out beside that.
    if (kept && !answered) this.#enter(kept)
    this.#own = isOwn().then((own) => {
      if (!own) this.#duplicated()
      return own
    })
    try {
      const [page] = await Promise.all([fetchPage(), this.#own])
      if (answered && page.login) await this.#finish(page)
      else if (!kept || JSON.stringify(kept) !== JSON.stringify(page)) this.#enter(page)
    } catch {
      if (!kept) this.#be({ kind: 'unreachable' })
    }
  }

  /** A copy of another tab leaves that one its sign-in, and what it keeps. */
  #duplicated(): void {
    forget()
    if (this.#current.kind === 'in') this.#be({ kind: 'signed-out', page: this.#current.page })
  }

  #enter(page: PageSettings): void {
    const { current } = this
    // It may be another provider than the one that was kept.
    if (!('page' in current) || JSON.stringify(current.page.login) !== JSON.stringify(page.login)) this.#provider = null
    const person = keptPerson()
    if (!page.login) this.#be({ kind: 'viewing', page })
    else if (person) this.#be({ kind: 'in', page, person })
    else this.#be({ kind: 'signed-out', page })
  }

  async #finish(page: PageSettings): Promise<void> {
    try {
      const { person, returnTo } = await (await this.#open(page)).finish()
      // What came with the address is good once, and stays in no history.
      history.replaceState(null, '', ofThisPage(returnTo))
      this.#be({ kind: 'in', page, person })
    } catch (error) {
      history.replaceState(null, '', '/')
      // An address that nobody here asked for ends no sign-in.
      if (keptPerson()) return this.#enter(page)
      const cancelled = error instanceof Error && error.message.includes('access_denied')
      this.#be({ kind: 'signed-out', page, why: cancelled ? 'Signing in was cancelled.' : 'That sign-in did not work. Try again.' })
    }
  }

  #open({ login }: PageSettings): Promise<Provider> {
    if (!login) return Promise.reject(new Error('Nobody signs in here'))
    this.#provider ??= import('./provider').then(({ Provider }) => new Provider(login))
    return this.#provider
  }

  token = async (refused = false): Promise<string | null> => {
    const session = this.#current
    if (session.kind !== 'in' || !(await this.#own)) return null
    try {
      return await (await this.#open(session.page)).token(refused)
    } catch (error) {
      // A provider that stumbles leaves what is kept; one that has ended the sign-in does not.
      if (!keptPerson()) this.ended('Your sign-in has ended.')
      throw error
    }
  }

  async signIn(returnTo: string): Promise<void> {
    const session = this.#current
    if (session.kind === 'signed-out') await (await this.#open(session.page)).signIn(returnTo)
  }

  async signOut(): Promise<void> {
    const session = this.#current
    if (session.kind !== 'in') return
    const { page } = session
    await this.#leave({ kind: 'starting' })
    try {
      await (await this.#open(page)).signOut()
    } catch {
      // The provider may not be there: here it has ended in any case.
      this.#be(this.#out(page))
    }
  }

  /** The provider, or the server, does not know this sign-in any more. */
  ended(why?: string): void {
    const session = this.#current
    if (session.kind !== 'in') return
    void this.#leave(this.#out(session.page, why))
  }

  /** Nothing of the sign-in stays in this tab. */
  #out(page: PageSettings, why?: string): Session {
    forget()
    this.#provider = null
    return { kind: 'signed-out', page, ...(why && { why }) }
  }
}

/** `//host/x` is a path of somebody else's. */
function ofThisPage(path: string): string {
  return /^\/(?!\/)/.test(path) ? path : '/'
}
