import { ErrorResponse, type User, UserManager, WebStorageStateStore } from 'oidc-client-ts'
import { KeptUser, type Person, SignedOut } from './kept'
import type { LoginSettings } from './page'
import { roleOf } from './token'

/** Renewed before it ends by at least this much, whoever asks. */
const MARGIN_S = 5

/** The OpenID Connect provider: authorization code with PKCE, by the page itself. */
export class Provider {
  readonly #manager: UserManager
  #user: User | null = null
  #renewing: Promise<string> | null = null
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor({ issuer, client_id, scope, resource }: LoginSettings) {
    const aim: Record<string, string> = resource ? { resource } : {}
    this.#manager = new UserManager({
      authority: issuer,
      client_id,
      scope,
      redirect_uri: `${location.origin}/`,
      post_logout_redirect_uri: `${location.origin}/`,
      response_type: 'code',
      prompt: 'login',
      // Without it the access token is not for this server (RFC 8707).
      extraQueryParams: aim,
      extraTokenParams: aim,
      loadUserInfo: false,
      automaticSilentRenew: false,
      monitorSession: false,
      userStore: new KeptUser(),
      stateStore: new WebStorageStateStore({ store: sessionStorage, prefix: 'tidegate.begun.' }),
    })
  }

  /** Goes to the provider, which asks who it is. The page ends here. */
  signIn(returnTo: string): Promise<void> {
    return this.#manager.signinRedirect({ state: returnTo })
  }

  /** Takes what the provider sent the browser back with. */
  async finish(): Promise<{ person: Person; returnTo: string }> {
    const user = await this.#manager.signinRedirectCallback()
    this.#take(user)
    return { person: person(user), returnTo: typeof user.state === 'string' ? user.state : '/' }
  }

  /** A token that holds; `refused` says that the last one did not. */
  token(refused = false): Promise<string> {
    const user = this.#user
    if (user && !refused && (user.expires_in ?? 0) > MARGIN_S) return Promise.resolve(user.access_token)
    return this.#renew()
  }

  /** A refresh token is good once, so all who want the next token get the same. */
  #renew(): Promise<string> {
    this.#renewing ??= this.#refresh().finally(() => (this.#renewing = null))
    return this.#renewing
  }

  async #refresh(): Promise<string> {
    try {
      const user = await this.#manager.signinSilent()
      if (!user) throw new SignedOut('Nobody is signed in')
      this.#take(user)
      return user.access_token
    } catch (error) {
      if (error instanceof ErrorResponse && error.error === 'invalid_grant') {
        await this.#manager.removeUser()
        throw new SignedOut('Your sign-in has ended')
      }
      throw error
    }
  }

  #take(user: User): void {
    this.#user = user
    clearTimeout(this.#timer)
    // At half time: requests never wait for a token, and a provider that stumbles has time to recover.
    const half = ((user.expires_in ?? 300) / 2) * 1_000
    this.#timer = setTimeout(() => void this.#renew().catch(() => undefined), half)
  }

  /** Ends it here and at the provider, which sends the browser back. */
  async signOut(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#manager.revokeTokens(['refresh_token']).catch(() => undefined)
    await this.#manager.signoutRedirect()
  }
}

function person({ profile, access_token }: User): Person {
  return { id: profile.sub, name: profile.name ?? profile.sub, role: roleOf(access_token) }
}
