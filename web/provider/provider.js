// An OpenID Connect provider to develop with: whoever opens it may be any of a handful of people, without a password.
//
//   page ──/auth, PKCE──▶ login page: who are you? ──code──▶ page ──/token, verifier──▶ access token (JWT), refresh token
//   server ──/.well-known/openid-configuration, /jwks──▶ the keys, which are new at each start
//
// It is the real thing (npm `oidc-provider`) with people who are not, and it listens on 127.0.0.1 alone. What it holds is
// in memory, and ends with it. Once it listens it says so: `issuer http://127.0.0.1:9000`.

import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { parseArgs } from 'node:util'

import Provider, { errors } from 'oidc-provider'
import MemoryAdapter from 'oidc-provider/lib/adapters/memory_adapter.js'

const { values: options } = parseArgs({
  options: {
    // 0 takes a free one.
    port: { type: 'string', default: process.env.PORT ?? '0' },
    // Whose pages may log people in, as in http://127.0.0.1:8080; any number of them.
    origin: { type: 'string', multiple: true, default: ['http://127.0.0.1:8080'] },
    client: { type: 'string', default: 'tidegate-demo' },
    // For whom access tokens are: the resource that a page asks for.
    audience: { type: 'string', default: 'urn:tidegate:demo' },
    // Read each time that it is needed: whoever is renamed there has the new name in the next token.
    people: { type: 'string', default: new URL('people.json', import.meta.url).pathname },
    'access-token-seconds': { type: 'string', default: '300' },
  },
})

const LOOPBACK = '127.0.0.1'
const ALGORITHM = 'ES256'
/** A day at work. */
const SESSION_SECONDS = 8 * 60 * 60
const accessTokenSeconds = Number(options['access-token-seconds'])
if (!Number.isInteger(accessTokenSeconds) || accessTokenSeconds < 1) throw new Error('--access-token-seconds is a whole number')

const people = () => JSON.parse(readFileSync(options.people, 'utf8'))
const personOf = (sub) => people().find((person) => person.sub === sub)

/** A key of this start: tokens of an earlier one do not hold any more. */
function freshKey() {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { ...privateKey.export({ format: 'jwk' }), alg: ALGORITHM, use: 'sig', kid: randomBytes(8).toString('hex') }
}

const configuration = {
  // A class of our own is left alone: the provider warns of its own one at each start.
  adapter: class extends MemoryAdapter {},
  responseTypes: ['code'],
  // A public client: what it could keep secret anybody could read in the page.
  clients: [
    {
      client_id: options.client,
      client_name: 'Tidegate',
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      redirect_uris: options.origin.map((origin) => `${origin}/`),
      post_logout_redirect_uris: options.origin.map((origin) => `${origin}/`),
      id_token_signed_response_alg: ALGORITHM,
    },
  ],
  clientBasedCORS: (_, origin) => options.origin.includes(origin),
  pkce: { required: () => true, methods: ['S256'] },
  jwks: { keys: [freshKey()] },
  cookies: { keys: [randomBytes(32).toString('hex')] },

  scopes: ['openid'],
  claims: { openid: ['sub'], profile: ['name'], email: ['email'] },
  // The page shows a name before it has asked anybody for more.
  conformIdTokenClaims: false,
  findAccount: (_, sub) => {
    const person = personOf(sub)
    return person && { accountId: sub, claims: () => ({ sub, name: person.name, email: person.email }) }
  },
  extraTokenClaims: (_, { accountId }) => {
    const { name, email, role } = personOf(accountId)
    return { name, email, role }
  },

  // Two tabs of one browser may be two people: the login of one does not end the other's.
  expiresWithSession: () => false,
  issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
  rotateRefreshToken: true,
  ttl: {
    AccessToken: accessTokenSeconds,
    AuthorizationCode: 60,
    Grant: SESSION_SECONDS,
    IdToken: accessTokenSeconds,
    Interaction: 600,
    RefreshToken: SESSION_SECONDS,
    Session: SESSION_SECONDS,
  },

  features: {
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      // Without this an access token is for the provider's own `userinfo`, and no JWT.
      useGrantedResource: () => true,
      getResourceServerInfo: (_, resource) => {
        if (resource !== options.audience) throw new errors.InvalidTarget()
        return { scope: '', audience: options.audience, accessTokenFormat: 'jwt', accessTokenTTL: accessTokenSeconds, jwt: { sign: { alg: ALGORITHM } } }
      },
    },
    revocation: { enabled: true, allowedPolicy: (_, client, token) => token.clientId === client.clientId },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx, form) => {
        ctx.body = pageOf('Log out?', `${form}<button form="op.logoutForm" name="logout" value="yes" autofocus>Log out</button>`)
      },
      postLogoutSuccessSource: (ctx) => {
        ctx.body = pageOf('Logged out', '')
      },
    },
  },
  renderError: (ctx, { error, error_description: description }) => {
    ctx.type = 'html'
    ctx.body = pageOf('That did not work', `<p>${escaped(description ?? error)}</p>`)
  },

  interactions: { url: (_, { uid }) => `/login/${uid}` },
  // Whoever picks a person has consented in that one's name.
  loadExistingGrant: async (ctx) => {
    const { client, session, provider } = ctx.oidc
    const grantId = session.grantIdFor(client.clientId)
    const grant = (grantId && (await provider.Grant.find(grantId))) || new provider.Grant({ clientId: client.clientId, accountId: session.accountId })
    grant.addOIDCScope('openid profile email')
    await grant.save()
    return grant
  },
}

// --- Pages -----------------------------------------------------------------------------------------------------

const escaped = (text) => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)

const pageOf = (title, body) => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title} – development provider</title>
<style>
  body { max-width: 26rem; margin: 12vh auto; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; }
  .warning { padding: .6rem .9rem; border: 1px dashed #9a5b00; border-radius: 8px; font-size: .9rem; }
  ul { margin: 0; padding: 0; list-style: none; }
  button { width: 100%; margin-top: .6rem; padding: .7rem .9rem; border: 1px solid #8888; border-radius: 8px; background: none; color: inherit; font: inherit; text-align: left; cursor: pointer; }
  button:hover, button:focus-visible { border-color: #00707f; outline: none; background: #00707f1a; }
  small { display: block; opacity: .75; }
</style>
<h1>${title}</h1>
${body}
<p class="warning">This is a provider for development, on this machine alone. It asks for no password: never let anybody else reach it.</p>
</html>
`

const listOf = (everybody) => {
  const entries = everybody.map(({ sub, name, role, about }) => {
    const more = [role, about].filter(Boolean).join(' · ')
    return `<li><button name="sub" value="${escaped(sub)}">${escaped(name)}<small>${escaped(more)}</small></button>`
  })
  return `<form method="post"><ul>${entries.join('')}</ul></form>`
}

function answer(response, status, html) {
  response.writeHead(status, {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
  })
  response.end(html)
}

// --- Login -----------------------------------------------------------------------------------------------------

/** A form of one field. */
async function readForm(request) {
  let text = ''
  for await (const piece of request) {
    text += piece
    if (text.length > 1_000) return new URLSearchParams()
  }
  return new URLSearchParams(text)
}

async function logIn(provider, request, response) {
  // Fails for whoever has no cookie of an interaction that is going on.
  await provider.interactionDetails(request, response)
  if (request.method === 'POST') {
    const person = personOf((await readForm(request)).get('sub'))
    if (person) {
      await provider.interactionFinished(request, response, { login: { accountId: person.sub } })
      return
    }
  }
  answer(response, 200, pageOf('Who are you?', listOf(people())))
}

// --- Start -----------------------------------------------------------------------------------------------------

const server = createServer()
server.listen({ host: LOOPBACK, port: Number(options.port) }, () => {
  const issuer = `http://${LOOPBACK}:${server.address().port}`
  const provider = new Provider(issuer, configuration)
  provider.on('server_error', (_, error) => console.error(error))
  const rest = provider.callback()
  server.on('request', (request, response) => {
    if (request.url === '/favicon.ico') return response.writeHead(204).end()
    if (!request.url.startsWith('/login/')) return rest(request, response)
    return logIn(provider, request, response).catch(({ message }) => answer(response, 400, pageOf('That did not work', `<p>${escaped(message)}</p>`)))
  })
  console.log(`issuer ${issuer}`)
})
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0))
