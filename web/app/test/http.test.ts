import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Api } from '../src/api/http'
import { inWords, isOpen, Problem, Unreachable } from '../src/api/problem'
import { SignedOut } from '../src/session/kept'

const fetched = vi.fn<(url: string, init: RequestInit) => Promise<Response>>()
beforeEach(() => vi.stubGlobal('fetch', fetched))
afterEach(() => fetched.mockReset())

const api = (token: (refused?: boolean) => Promise<string | null> = () => Promise.resolve('t')) =>
  new Api({
    origin: () => 'http://server',
    token,
    lost: () => ({ signal: new AbortController().signal, release: () => undefined }),
    doubt: () => undefined,
    pause: () => Promise.resolve(),
  })

const done = () => new Response(JSON.stringify({ tx: '9', row: { id: '1' } }), { headers: { 'tidegate-lsn': '0/9' } })
const keys = () => fetched.mock.calls.map(([, { headers }]) => new Headers(headers).get('idempotency-key'))

/** Headers came, and then the line was cut. */
function cutOff(): Response {
  return new Response(new ReadableStream({ start: (stream) => stream.error(new TypeError('network error')) }))
}

const command = { method: 'POST', path: '/v1/x', body: {} } as const

describe('a command', () => {
  it('whose answer was cut off goes again, by the same key', async () => {
    fetched.mockResolvedValueOnce(cutOff()).mockResolvedValueOnce(done())
    expect(await api().send(command)).toEqual({ tx: '9', lsn: '0/9', row: { id: '1' } })
    expect(new Set(keys()).size).toBe(1)
    expect(fetched).toHaveBeenCalledTimes(2)
  })

  it('that somebody on the way has answered goes again', async () => {
    fetched.mockResolvedValueOnce(new Response('<html>Sign in to the Wi-Fi')).mockResolvedValueOnce(done())
    await api().send(command)
    expect(fetched).toHaveBeenCalledTimes(2)
  })

  it('waits for a provider that cannot be reached', async () => {
    fetched.mockImplementation(() => Promise.resolve(done()))
    const token = vi.fn().mockRejectedValueOnce(new TypeError('Failed to fetch')).mockResolvedValue('t')
    await api(token).send(command)
    expect(token).toHaveBeenCalledTimes(2)
  })

  it('ends with the sign-in', async () => {
    await expect(api(() => Promise.reject(new SignedOut('Your sign-in has ended'))).send(command)).rejects.toThrow(SignedOut)
    expect(fetched).not.toHaveBeenCalled()
  })

  it('asks for another token once', async () => {
    fetched.mockImplementation(() => Promise.resolve(new Response('{"code":"unauthenticated"}', { status: 401 })))
    const token = vi.fn().mockResolvedValue('t')
    await expect(api(token).send(command)).rejects.toThrow(Problem)
    expect(token.mock.calls).toEqual([[false], [true]])
  })

  it('goes by the key that it was given before', async () => {
    fetched.mockImplementation(() => Promise.resolve(done()))
    await api().send({ ...command, key: 'kept' })
    expect(keys()).toEqual(['kept'])
  })
})

it('claims nothing of what nobody knows', () => {
  expect(inWords(new Unreachable(null))).toBe('Nobody knows whether that was done. Look again when the line is back.')
})

it('knows what may have been done all the same', () => {
  const refused = (status: number, code: string) => isOpen(new Problem(status, { code }))
  expect(isOpen(new Unreachable(null))).toBe(true)
  expect(refused(503, 'unavailable')).toBe(true)
  expect(refused(503, 'contention')).toBe(false)
  expect(refused(409, 'wip_limit')).toBe(false)
})
