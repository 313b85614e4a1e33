import type { StateStore } from 'oidc-client-ts'

/** What goes on after a reload of this tab. Another tab may be somebody else. */
const KEPT = 'tidegate.session'

interface Kept {
  refresh_token?: string
  id_token?: string
  profile?: { sub: string; name?: string }
  [more: string]: unknown
}

export interface Person {
  id: string
  name: string
}

/** Whoever was signed in is not any more: the provider has ended it. */
export class SignedOut extends Error {}

/** Who this tab belongs to, before the provider has been asked again. */
export function keptPerson(): Person | null {
  const { refresh_token, profile } = read() ?? {}
  return refresh_token && profile ? { id: profile.sub, name: profile.name ?? profile.sub } : null
}

export function forget(): void {
  sessionStorage.removeItem(KEPT)
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
    const kept = { ...JSON.parse(value) as Kept, access_token: '', expires_at: 0 }
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
