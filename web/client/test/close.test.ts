// What a real server does not do at will: a socket that closes with any code, at any time.

import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import WebSocket, { WebSocketServer } from 'ws'
import { type Status, Tidegate, type TokenReason } from '../src/index.js'
import { eventually, pause } from './house.js'

const leaving: (() => void)[] = []
afterEach(() => {
  for (const leave of leaving.splice(0)) leave()
  vi.restoreAllMocks()
})

/** A server that lets everybody in, and closes when it is told to. */
class Host {
  /** When each socket came. */
  readonly came: number[] = []
  /** Closes each socket as soon as it is let in. */
  closes: [number, string] | undefined

  private constructor(private readonly server: WebSocketServer) {
    server.on('connection', (socket) => {
      this.came.push(Date.now())
      socket.on('message', (data) => {
        const frame = JSON.parse(String(data)) as { type: string; id: string }
        const answer = (...frames: object[]) => frames.forEach((frame) => socket.send(JSON.stringify(frame)))
        if (frame.type === 'ping') answer({ type: 'pong' })
        if (frame.type !== 'subscribe') return
        answer({ type: 'subscribed', id: frame.id, shape: 's', key: ['id'], columns: [] }, { type: 'snapshot', id: frame.id, rows: [], last: true, cursor: 'c' })
        if (this.closes) socket.close(...this.closes)
      })
      socket.send(JSON.stringify({ type: 'ready', session: 's', heartbeat_ms: 25_000 }))
    })
    leaving.push(() => server.close())
  }

  static async open(): Promise<Host> {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
    await once(server, 'listening')
    return new Host(server)
  }

  get address(): string {
    return `ws://127.0.0.1:${(this.server.address() as AddressInfo).port}/v1/socket`
  }

  close(code: number, reason = ''): void {
    for (const socket of this.server.clients) socket.close(code, reason)
  }
}

function watched(hosts: Host[], token?: (reason: TokenReason) => string) {
  const tide = new Tidegate(
    hosts.map(({ address }) => address),
    { webSocket: WebSocket as never, transport: 'websocket', ...(token && { token }) },
  )
  leaving.push(() => tide.close())
  const states: Status[] = []
  tide.status.subscribe((status) => void (states.at(-1)?.state !== status.state && states.push(status)))
  tide.rows('items').subscribe(() => {})
  const live = () => eventually('it is live', () => tide.status.current.state === 'live' && tide.status.current.pending === 0)
  return { tide, states, live }
}

/** What a close code makes of the line: no return, a return after a wait or at once, and to which of two servers. */
const table: [code: number, reason: string, then: 'ends' | 'waits' | 'at once', at: 0 | 1][] = [
  [1001, 'going away', 'at once', 1],
  [1008, 'policy', 'ends', 0],
  [1009, 'too large', 'ends', 0],
  [4400, 'no JSON object', 'ends', 0],
  [4403, 'not allowed', 'ends', 0],
  [4408, 'no auth in time', 'waits', 0],
  [4409, 'cannot keep up', 'waits', 0],
  [4429, 'too fast', 'waits', 0],
  [4429, 'too fast; retry_after_ms=1700', 'waits', 0],
]

test.each(table)('a close with %i (%s): the client %s, at server %i', async (code, reason, then, at) => {
  const hosts = [await Host.open(), await Host.open()]
  const { tide, states, live } = watched(hosts)
  await live()
  const closed = Date.now()
  hosts[0]!.close(code, reason)
  if (then === 'ends') {
    const { error } = await eventually('the end', () => tide.status.current.state === 'ended' && tide.status.current)
    expect(error).toMatchObject({ code: 'refused' })
    expect(error!.message).toContain(`${code}: ${reason}`)
    tide.wake()
    await pause(700)
    expect(hosts.map(({ came }) => came.length)).toEqual([1, 0])
    return
  }
  await eventually('it returns', () => hosts[0]!.came.length + hosts[1]!.came.length === 2)
  await live()
  expect(hosts[at]!.came.length).toBe(at === 0 ? 2 : 1)
  const took = hosts[at]!.came.at(-1)! - closed
  const told = states.map(({ state }) => state).slice(3)
  if (then === 'at once') {
    expect(told).toEqual(['resuming', 'live'])
  } else {
    expect(told).toEqual(['offline', 'resuming', 'live'])
    expect(took).toBeGreaterThanOrEqual(Number(/=(\d+)/.exec(reason)?.[1] ?? 500) - 5)
    expect(took).toBeLessThan(3_500)
  }
})

test('a close with 4401 (expired): the client brings a token anew, and returns at once', async () => {
  const host = await Host.open()
  host.closes = [4401, 'expired']
  const reasons: TokenReason[] = []
  const { tide } = watched([host], (reason) => {
    reasons.push(reason)
    return 'token'
  })
  await eventually('it is brought anew', () => reasons.includes('refused'))
  host.closes = undefined
  await eventually('it is live', () => tide.status.current.state === 'live')
  expect(reasons.slice(0, 2)).toEqual(['connect', 'refused'])
})

test('servers that go one after the other are each left at once, also after attempts that failed; but not for ever', async () => {
  const [first, second] = [await Host.open(), await Host.open()]
  const { tide, states, live } = watched([first, second])
  await live()
  // An attempt that failed.
  first.close(4409)
  await eventually('it is offline', () => tide.status.current.state === 'offline')
  await live()
  const seen = states.length
  for (const [host, next] of [[first, second], [second, first], [first, second]] as const) {
    const came = next.came.length
    host.close(1001)
    await eventually('it is at the next', () => next.came.length === came + 1)
    await live()
  }
  expect(states.slice(seen).map(({ state }) => state)).not.toContain('offline')
  // Each sends it on: it waits in between.
  first.closes = second.closes = [1001, '']
  second.close(1001)
  await eventually('it waits', () => tide.status.current.state === 'offline')
})

test('who is woken returns no sooner than the server asked for', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(1)
  const host = await Host.open()
  const { tide, live } = watched([host])
  await live()
  const closed = Date.now()
  host.close(4429, 'retry_after_ms=800')
  await eventually('it is offline', () => tide.status.current.state === 'offline')
  tide.wake()
  await pause(200)
  tide.wake()
  expect([tide.status.current.state, host.came.length]).toEqual(['offline', 1])
  await pause(650)
  // By itself it would wait a little longer.
  tide.wake()
  await live()
  expect(host.came.at(-1)! - closed).toBeGreaterThanOrEqual(795)
})
