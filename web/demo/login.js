// Logging in at an OpenID Connect provider, by the page itself: authorization code with PKCE.
//
//   page ──location──▶ provider ──?code&state──▶ page ──code and verifier──▶ access token ──`auth` frame──▶ server
//                                                  └──refresh token, before the end──▶ the next one
//
// Whom the access token names is for the server to verify. The page keeps it in memory, and the refresh token in this
// tab's sessionStorage, so that a reload goes on as the same person; its policy lets no foreign script in to read it.
//
// See RFC 6749, RFC 7636 (PKCE), RFC 8707 (resource), RFC 9207 (iss), and OpenID Connect Core 1.0.

/** What was begun, until the provider sends the browser back: verifier, state, nonce and the place to return to. */
const BEGUN = 'login.begun'
/** What goes on after a reload: the refresh token, and the ID token for logging out. */
const KEPT = 'login.kept'

/** Why somebody has to log in, or could not: for people to read. */
export class LoginError extends Error {}

/** How this page logs in, as its server says; `null` where nobody is asked who they are. */
export async function openLogin() {
  const told = await (await fetch('/login.json')).json()
  return told && new Login(told)
}

class Login {
  constructor({ issuer, client_id: client, scope, resource }) {
    Object.assign(this, { issuer, client, scope, resource })
  }

  token = null // what the server is brought
  claims = null // of the ID token: who it is, for the eye
  renewing = null // the promise of the next token, shared by all who want one

  get page() {
    return `${location.origin}/`
  }

  /** Goes to the provider, which asks who it is: in another tab it may be somebody else. Does not return. */
  async begin() {
    const { authorization_endpoint: endpoint } = await this.discover()
    const begun = { verifier: random(), state: random(), nonce: random(), hash: location.hash }
    sessionStorage.setItem(BEGUN, JSON.stringify(begun))
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(begun.verifier))
    location.assign(`${endpoint}?${this.form({
      response_type: 'code',
      redirect_uri: this.page,
      scope: this.scope,
      state: begun.state,
      nonce: begun.nonce,
      code_challenge: base64url(new Uint8Array(digest)),
      code_challenge_method: 'S256',
      prompt: 'login',
    })}`)
  }

  /** Takes what the provider sent along, or goes on where this tab was: whether somebody is logged in now. */
  async resume() {
    const answer = new URLSearchParams(location.search)
    if (answer.has('code') || answer.has('error')) return this.finish(answer)
    if (!sessionStorage.getItem(KEPT)) return false
    return this.renew().then(() => true, () => false)
  }

  async finish(answer) {
    const begun = JSON.parse(sessionStorage.getItem(BEGUN))
    // Each is good for one answer, which stays in no history.
    sessionStorage.removeItem(BEGUN)
    history.replaceState(null, '', `${location.pathname}${begun?.hash ?? ''}`)
    if (!begun || answer.get('state') !== begun.state) throw new LoginError('The answer is to no login of this tab')
    if (answer.has('iss') && answer.get('iss') !== this.issuer) throw new LoginError('The answer is of another provider')
    if (answer.has('error')) throw new LoginError(answer.get('error_description') ?? answer.get('error'))
    await this.fetchTokens({
      grant_type: 'authorization_code',
      code: answer.get('code'),
      redirect_uri: this.page,
      code_verifier: begun.verifier,
    }, begun.nonce)
    return true
  }

  /** The next access token, by the refresh token: which is good once, so all who want one get the same. */
  renew() {
    this.renewing ??= this.refresh().finally(() => (this.renewing = null))
    return this.renewing
  }

  async refresh() {
    const kept = JSON.parse(sessionStorage.getItem(KEPT))
    if (!kept?.refresh) throw new LoginError('Nobody is logged in')
    await this.fetchTokens({ grant_type: 'refresh_token', refresh_token: kept.refresh })
    return this.token
  }

  /** Ends the login, here and at the provider, and comes back to this page. */
  async end() {
    const { revocation_endpoint: revoke, end_session_endpoint: endpoint } = await this.discover()
    const kept = JSON.parse(sessionStorage.getItem(KEPT))
    this.forget()
    // Best effort: it ends by itself, too.
    if (revoke && kept?.refresh) await fetch(revoke, { method: 'POST', body: new URLSearchParams({ client_id: this.client, token: kept.refresh }) }).then((answer) => answer.text()).catch(() => {})
    const ending = new URLSearchParams({ client_id: this.client, post_logout_redirect_uri: this.page })
    if (kept?.id) ending.set('id_token_hint', kept.id)
    location.assign(endpoint ? `${endpoint}?${ending}` : this.page)
  }

  forget() {
    this.token = this.claims = null
    sessionStorage.removeItem(KEPT)
  }

  async fetchTokens(request, nonce) {
    const { token_endpoint: endpoint } = await this.discover()
    const response = await fetch(endpoint, { method: 'POST', body: this.form(request) })
    const answer = await response.json().catch(() => ({}))
    if (!response.ok) {
      // Whose grant is over has to log in again; a provider that stumbles may know it in a moment.
      if (answer.error === 'invalid_grant') this.forget()
      throw new LoginError(answer.error_description ?? answer.error ?? `The provider answers ${response.status}`)
    }
    const claims = answer.id_token ? claimsOf(answer.id_token) : this.claims
    if (nonce !== undefined) this.check(claims, nonce)
    this.claims = claims
    this.token = answer.access_token
    const kept = JSON.parse(sessionStorage.getItem(KEPT))
    const next = { refresh: answer.refresh_token ?? kept?.refresh, id: answer.id_token ?? kept?.id }
    sessionStorage.setItem(KEPT, JSON.stringify(next))
  }

  /** Its signature need not be looked at: it came from the provider itself (OpenID Connect Core 1.0, section 3.1.3.7). */
  check(claims, nonce) {
    const audience = [claims?.aud].flat()
    if (claims?.iss !== this.issuer || !audience.includes(this.client)) throw new LoginError('The ID token is not for this page')
    if (claims.nonce !== nonce) throw new LoginError('The ID token is of another login')
  }

  form(fields) {
    const form = new URLSearchParams({ client_id: this.client, ...fields })
    if (this.resource) form.set('resource', this.resource)
    return form
  }

  /** What the provider says of itself, asked for once. */
  async discover() {
    this.document ??= await fetch(`${this.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`).then((answer) => answer.json())
    if (this.document.issuer !== this.issuer) throw new LoginError('The provider calls itself something else')
    return this.document
  }
}

function claimsOf(token) {
  const bytes = Uint8Array.from(atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/')), (character) => character.charCodeAt(0))
  return JSON.parse(new TextDecoder().decode(bytes))
}

const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)))
const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
