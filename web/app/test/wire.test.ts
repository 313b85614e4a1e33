import type { Batch, Rows, Tidegate } from '@tidegate/client'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Wire } from '../src/api/wire'

let frames: (() => void)[] = []
let seen: (() => void)[] = []
const page = { hidden: false, addEventListener: (_: string, listener: () => void) => seen.push(listener) }

beforeEach(() => {
  vi.useFakeTimers({ now: Date.parse('2026-11-26T10:00:00Z') })
  // It does not follow the clock that is set.
  vi.stubGlobal('performance', { timeOrigin: 0, now: () => Date.now() })
  ;[frames, seen, page.hidden] = [[], [], false]
  vi.stubGlobal('document', page)
  vi.stubGlobal('requestAnimationFrame', (frame: () => void) => frames.push(frame))
})
afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

/** A wire that is up, and by which transactions come. */
function follow() {
  let tell: (rows: never, batch: Batch<object>) => void = () => undefined
  const wire = new Wire({ status: { subscribe: (listener: (status: { state: string }) => void) => listener({ state: 'live' }) } } as unknown as Tidegate)
  wire.follow({ subscribe: (listener: typeof tell) => (tell = listener) } as unknown as Rows<object>, 'entries')
  const come = (tx: string, committed = Date.now()) =>
    tell(null as never, { reset: false, changes: [{ op: 'insert', key: '1', row: {} }], tx, committedAt: new Date(committed).toISOString() })
  // The newest first.
  return { latencies: () => wire.transactions.map(({ latency }) => latency), median: () => wire.latency, come }
}

/** So long a frame is drawn; then it is on the screen. */
function draw(ms: number) {
  for (const frame of frames.splice(0)) frame()
  vi.setSystemTime(Date.now() + ms)
  vi.advanceTimersByTime(0)
}

function look(isSeen: boolean) {
  page.hidden = !isSeen
  for (const listener of seen) listener()
}

it('measures up to when it is on the screen, not to when it came', () => {
  const { latencies, come } = follow()
  vi.setSystemTime(Date.now() + 10)
  come('1', Date.now() - 10)
  expect(latencies()).toEqual([null])
  vi.setSystemTime(Date.now() + 16)
  come('2', Date.now() - 10)
  draw(30)
  expect(latencies()).toEqual([40, 56])
})

it('says nothing of what came while nobody looked, or was drawn when somebody looked again', () => {
  const { latencies, median, come } = follow()
  come('1')
  look(false)
  vi.setSystemTime(Date.now() + 5_000)
  come('2')
  look(true)
  draw(10)
  expect(latencies()).toEqual([null, null])
  expect(median()).toBeNull()
  come('3')
  draw(10)
  expect(latencies()).toEqual([10, null, null])
  expect(median()).toBe(10)
})

it('takes a clock that is ahead for what it is', () => {
  const { latencies, come } = follow()
  come('1', Date.now() + 100)
  draw(20)
  expect(latencies()).toEqual([20])
})
