import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { fallback } from '../src/fallback.js'
import type { Connect } from '../src/line.js'
import { Link } from '../src/link.js'
import { Cell } from '../src/readable.js'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** A way that stands or does not, and counts how often it is tried. */
function way() {
  const state = { stands: false, tries: 0, lines: new Set<() => void>() }
  const connect: Connect = (_, events) => {
    state.tries++
    const gone = () => events.closed(1006, '')
    if (state.stands) {
      state.lines.add(gone)
      setTimeout(() => events.frame({ type: 'ready', session: '', heartbeat_ms: 0 }))
    } else setTimeout(gone)
    return { send: (frame) => void (frame.type === 'ping' && events.frame({ type: 'pong' })), close: () => state.lines.delete(gone) }
  }
  return { state, connect }
}

const live = { opening: (id: string) => ({ type: 'subscribe' as const, id }), take() {}, reach() {}, cut() {}, fail() {}, waits: false }

test('an outage of an hour costs an attempt in 15 s or so, and ends by the first way', async () => {
  const [first, second] = [way(), way()]
  const link = new Link(['ws://a/v1/socket'], fallback(first.connect, second.connect), undefined)
  link.add(live)
  await vi.advanceTimersByTimeAsync(3_600_000)
  expect(first.state.tries).toBeGreaterThan(100)
  expect(first.state.tries).toBeLessThan(600)
  expect(second.state.tries).toBeLessThan(600)
  first.state.stands = second.state.stands = true
  await vi.advanceTimersByTimeAsync(40_000)
  expect(link.status.current.state).toBe('live')
  expect([first.state.lines.size, second.state.lines.size]).toEqual([1, 0])
})

test('where only the second way gets through it stays, and the first is tried again more and more seldom', async () => {
  const [first, second] = [way(), way()]
  second.state.stands = true
  const link = new Link(['ws://a/v1/socket'], fallback(first.connect, second.connect), undefined)
  link.add(live)
  await vi.advanceTimersByTimeAsync(5_000)
  expect([link.status.current.state, first.state.tries]).toEqual(['live', 2])
  await vi.advanceTimersByTimeAsync(6 * 3_600_000)
  expect(link.status.current.state).toBe('live')
  expect(first.state.tries).toBeLessThan(14)
  first.state.stands = true
  await vi.advanceTimersByTimeAsync(3_700_000)
  expect([first.state.lines.size, second.state.lines.size]).toEqual([1, 0])
})

test('who closes when it is told that the line is gone has closed', async () => {
  const only = way()
  only.state.stands = true
  const link = new Link(['ws://a/v1/socket'], only.connect, undefined)
  link.add(live)
  link.status.subscribe(({ state }) => void (state === 'offline' && link.close({ code: 'closed' } as never)))
  await vi.advanceTimersByTimeAsync(100)
  for (const gone of only.state.lines) gone()
  await vi.advanceTimersByTimeAsync(100_000)
  expect([link.status.current.state, only.state.tries]).toEqual(['ended', 1])
})

test('a listener that throws costs the others nothing', () => {
  vi.stubGlobal('reportError', () => {})
  const cell = new Cell(0)
  const heard: number[] = []
  cell.subscribe(() => {
    throw new Error('mine')
  })
  cell.subscribe((value) => heard.push(value))
  cell.set(1)
  expect(heard).toEqual([0, 1])
  vi.unstubAllGlobals()
})
