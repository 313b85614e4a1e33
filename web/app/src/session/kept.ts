import type { StateStore } from 'oidc-client-ts'
import { roleOf } from './token'

/** What goes on after a reload of this tab. Another tab may be somebody else. */
const KEPT = 'tidegate.session'

interface Kept {
  refresh_token?: string
  id_token?: string
  access_token?: string
  profile?: { sub: string; name?: string }
  role?: string | null
  [more: string]: unknown
}

export interface Person {
  id: string
  name: string
  /** Null if their tokens do not tell. */
  role: string | null
}

/** Whoever was signed in is not any more: the provider has ended it. */
export class SignedOut extends Error {}

/** Who this tab belongs to, before the provider has been asked again. */
export function keptPerson(): Person | null {
  const { refresh_token, profile, role = null } = read() ?? {}
  return refresh_token && profile ? { id: profile.sub, name: profile.name ?? profile.sub, role } : null
}

export function forget(): void {
  sessionStorage.removeItem(KEPT)
}

const TAB = 'tidegate.tab'
/** So long another tab has to answer. */
const ANSWER_MS = 150

/**
 * Whether what is kept is this tab's own. A tab that was duplicated has a copy of it, and a refresh token is good once: the
 * second to bring it would end the sign-in of both. Whoever has the id already says so.
 */
export async function isOwn(): Promise<boolean> {
  const id = sessionStorage.getItem(TAB)
  if (!id || !keptPerson()) {
    listen(name())
    return true
  }
  const isTaken = await asked(id)
  listen(isTaken ? name() : id)
  return !isTaken
}

function name(): string {
  const id = crypto.randomUUID()
  sessionStorage.setItem(TAB, id)
  return id
}

type Word = { ask: string } | { taken: string }

function asked(id: string): Promise<boolean> {
  const channel = new BroadcastChannel(TAB)
  return new Promise<boolean>((resolve) => {
    setTimeout(resolve, ANSWER_MS, false)
    channel.onmessage = ({ data }: MessageEvent<Word>) => {
      if ('taken' in data && data.taken === id) resolve(true)
    }
    channel.postMessage({ ask: id } satisfies Word)
  }).finally(() => channel.close())
}

/** For as long as the page is there: a reload is no other tab. */
function listen(id: string): void {
  const channel = new BroadcastChannel(TAB)
  addEventListener('pagehide', () => channel.close(), { once: true })
  addEventListener('pageshow', ({ persisted }) => persisted && listen(id), { once: true })
  channel.onmessage = ({ data }: MessageEvent<Word>) => {
    if ('ask' in data && data.ask === id) channel.postMessage({ taken: id } satisfies Word)
  }
}

function read(): Kept | null {
  try {
    const text = sessionStorage.getItem(KEPT)
    return text ? JSON.parse(text) as Kept : null
  } catch {
    return null
  }
}

/** Access tokens stay in memory: what is kept is the refresh token, and who it is. */
export class KeptUser implements StateStore {
  #whole = new Map<string, string>()

  set(key: string, value: string): Promise<void> {
    this.#whole.set(key, value)
    const user = JSON.parse(value) as Kept
    const kept: Kept = { ...user, role: roleOf(user.access_token ?? ''), access_token: '', expires_at: 0 }
    sessionStorage.setItem(KEPT, JSON.stringify(kept))
    return Promise.resolve()
  }

  get(key: string): Promise<string | null> {
    return Promise.resolve(this.#whole.get(key) ?? sessionStorage.getItem(KEPT))
  }

  remove(key: string): Promise<string | null> {
    const whole = this.#whole.get(key) ?? null
    this.#whole.delete(key)
    forget()
    return Promise.resolve(whole)
  }

  getAllKeys(): Promise<string[]> {
    return Promise.resolve([...this.#whole.keys()])
  }
}
