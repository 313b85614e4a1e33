import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { ClientFrame, ServerFrame } from '../src/frames.js'
import { Lead, type Said } from '../src/lead.js'
import { AGAIN, type LineEvents } from '../src/line.js'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** A tab that leads, and what its line and the others are told. */
function leading(token: string | null = null) {
  const sent: ClientFrame[] = []
  const tokens: (string | null)[] = []
  const said: Said[] = []
  const mine: ServerFrame[] = []
  let line: LineEvents
  const connect = (_: string, events: LineEvents, token: string | null) => {
    line = events
    tokens.push(token)
    return { send: (frame: ClientFrame) => void sent.push(frame), close() {} }
  }
  const gone = () => new Promise(() => {})
  const lead = new Lead('me', { connect, address: 'ws://a', token }, (one) => said.push(one), gone, { heard() {}, frame: (frame) => mine.push(frame), closed() {} })
  lead.lay()
  const ready = () => line.frame({ type: 'ready', session: '', heartbeat_ms: 0 })
  ready()
  lead.send('me', { type: 'ping' })
  sent.length = 0
  return { lead, sent, tokens, said, mine, ready, line: () => line }
}

test('what tabs ask at once goes at a pace that the server takes, in its order', async () => {
  const { lead, sent } = leading()
  lead.hear({ kind: 'hello', from: 'one', wants: 0 })
  const frames: ClientFrame[] = Array.from({ length: 200 }, (_, n) => [
    { type: 'subscribe' as const, id: `${n}`, table: 'items' },
    { type: 'unsubscribe' as const, id: `${n}` },
  ]).flat()
  for (const frame of frames) lead.hear({ kind: 'send', from: 'one', frame })
  // The server takes 200 at once, and 50 a second.
  expect(sent.length).toBeLessThan(200)
  for (let seconds = 1; seconds < 4; seconds++) {
    await vi.advanceTimersByTimeAsync(1_000)
    expect(sent.length).toBeLessThan(200 + 50 * seconds)
  }
  await vi.advanceTimersByTimeAsync(10_000)
  expect(sent.map((frame) => `${frame.type} ${'id' in frame && frame.id}`)).toEqual(frames.map((frame) => `${frame.type} one.${'id' in frame && frame.id}`))
})

test('where a line is only laid anew, each subscription goes on from where it was, with the token of now', () => {
  const { lead, sent, tokens, line, ready, mine } = leading('first')
  lead.hear({ kind: 'hello', from: 'one', wants: 0 })
  const ask = (id: string, more: object) => lead.hear({ kind: 'send', from: 'one', frame: { type: 'subscribe', id, ...more } })
  const told = (id: string, frame: object) => line().frame({ ...frame, id: `one.${id}` } as ServerFrame)
  ask('whole', { table: 'items', snapshot: true })
  ask('bounded', { table: 'items', snapshot: { limit: 5 } })
  ask('resumed', { table: 'items', cursor: 'c1', shape: 's1' })
  ask('lost', { table: 'items', cursor: 'c1', shape: 's1' })
  ask('future', { table: 'items', snapshot: false })
  ask('arriving', { table: 'items', snapshot: true })
  ask('channel', { channel: 'deploys' })
  ask('over', { table: 'items', snapshot: true })
  for (const id of ['whole', 'bounded', 'arriving']) told(id, { type: 'subscribed', shape: 's', key: ['id'], columns: [] })
  for (const id of ['whole', 'bounded']) told(id, { type: 'snapshot', rows: [], last: true, cursor: 'c2' })
  told('resumed', { type: 'subscribed', shape: 's1', cursor: 'c3' })
  told('resumed', { type: 'changes', cursor: 'c4', changes: [] })
  // The first part of a transaction has no place.
  told('resumed', { type: 'changes', changes: [] })
  told('lost', { type: 'resync', reason: 'cursor_expired' })
  told('future', { type: 'subscribed', shape: 's', cursor: 'c5' })
  told('channel', { type: 'subscribed', cursor: 'c6' })
  line().frame({ type: 'progress', cursor: 'c7', lsn: '0/7' })
  told('bounded', { type: 'changes', cursor: 'c8', changes: [] })
  lead.hear({ kind: 'send', from: 'one', frame: { type: 'unsubscribe', id: 'over' } })
  lead.hear({ kind: 'send', from: 'one', frame: { type: 'await', lsn: '0/9' } })
  lead.send('me', { type: 'auth', token: 'second' })

  sent.length = mine.length = 0
  line().closed(AGAIN, '')
  // What comes in between is not lost.
  ask('new', { table: 'items', snapshot: true })
  expect(sent).toEqual([])
  ready()
  const place = (cursor: string, shape: string, more: object = {}) => ({ table: 'items', ...more, cursor, shape })
  const as = (id: string, fields: object) => ({ type: 'subscribe', id: `one.${id}`, ...fields })
  expect(JSON.parse(JSON.stringify(sent))).toEqual([
    { type: 'auth', token: 'second' },
    as('whole', place('c7', 's')),
    as('bounded', place('c8', 's', { snapshot: { limit: 5 } })),
    as('resumed', place('c7', 's1')),
    as('lost', { table: 'items', snapshot: true }),
    as('future', place('c7', 's', { snapshot: false })),
    as('arriving', { table: 'items', snapshot: true }),
    as('channel', { channel: 'deploys', cursor: 'c7' }),
    as('new', { table: 'items', snapshot: true }),
    { type: 'await', lsn: '0/9' },
  ])
  expect([tokens, mine]).toEqual([['first', 'second'], []])
})
