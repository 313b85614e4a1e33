import { beforeEach, describe, expect, it, vi } from 'vitest'
import { SignedOut } from '../src/session/kept'
import { Sessions } from '../src/session/session'

const provider = vi.hoisted(() => ({
  signOut: vi.fn<() => Promise<void>>(),
  finish: vi.fn<() => Promise<{ person: object; returnTo: string }>>(),
  token: vi.fn<() => Promise<string>>(),
}))
vi.mock('../src/session/provider', () => ({
  Provider: class {
    signOut = provider.signOut
    finish = provider.finish
    token = provider.token
  },
}))

const ada = { id: 'ada', name: 'Ada', role: null }
const page = { login: { issuer: 'http://provider', client_id: 'web', scope: 'openid', resource: null } }
const replaced = vi.fn()
let items: Map<string, string>

beforeEach(() => {
  vi.resetAllMocks()
  items = new Map([['tidegate.session', JSON.stringify({ refresh_token: 'r', profile: { sub: 'ada', name: 'Ada' } })]])
  vi.stubGlobal('sessionStorage', {
    getItem: (key: string) => items.get(key) ?? null,
    setItem: (key: string, value: string) => void items.set(key, value),
    removeItem: (key: string) => void items.delete(key),
  })
  vi.stubGlobal('addEventListener', () => undefined)
  vi.stubGlobal('fetch', () => Promise.resolve(Response.json(page)))
  vi.stubGlobal('history', { replaceState: replaced })
})

async function begun(search = ''): Promise<Sessions> {
  vi.stubGlobal('location', { search, host: 'localhost' })
  const sessions = new Sessions()
  await sessions.start()
  return sessions
}

describe('who signs out', () => {
  it('has nothing left behind before the provider is gone to', async () => {
    const sessions = await begun()
    const forget = vi.fn(() => Promise.resolve())
    sessions.leaving(forget)
    provider.signOut.mockImplementation(() => {
      expect(forget).toHaveBeenCalledOnce()
      return Promise.resolve()
    })
    await sessions.signOut()
    expect(provider.signOut).toHaveBeenCalledOnce()
  })

  it('is out, also if the provider is not there', async () => {
    const sessions = await begun()
    provider.signOut.mockRejectedValue(new TypeError('Failed to fetch'))
    await sessions.signOut()
    expect(sessions.current.kind).toBe('signed-out')
    expect(items.has('tidegate.session')).toBe(false)
  })

  it('may be signed out by the provider', async () => {
    const sessions = await begun()
    const forget = vi.fn(() => Promise.resolve())
    sessions.leaving(forget)
    provider.token.mockImplementation(() => {
      items.delete('tidegate.session')
      return Promise.reject(new SignedOut('Your sign-in has ended'))
    })
    await expect(sessions.token()).rejects.toThrow(SignedOut)
    expect(sessions.current).toMatchObject({ kind: 'signed-out', why: 'Your sign-in has ended.' })
    expect(forget).toHaveBeenCalledOnce()
  })
})

describe('an address with an answer', () => {
  it('leads back to where one came from', async () => {
    items.clear()
    provider.finish.mockResolvedValue({ person: ada, returnTo: '/boards/7' })
    expect((await begun('?state=x&code=y')).current).toMatchObject({ kind: 'in', person: ada })
    expect(replaced).toHaveBeenLastCalledWith(null, '', '/boards/7')
  })

  it('leads nowhere else', async () => {
    items.clear()
    provider.finish.mockResolvedValue({ person: ada, returnTo: '//elsewhere' })
    expect((await begun('?state=x&code=y')).current.kind).toBe('in')
    expect(replaced).toHaveBeenLastCalledWith(null, '', '/')
  })

  it('that nobody asked for ends no sign-in', async () => {
    provider.finish.mockRejectedValue(new Error('No matching state found in storage'))
    expect((await begun('?state=x&error=y')).current).toMatchObject({ kind: 'in', person: { id: 'ada' } })
  })
})
