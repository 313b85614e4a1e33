import type { Batch, Rows, Tidegate } from '@tidegate/client'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import type { Api, Command, Reply } from '../src/api/http'
import { Problem } from '../src/api/problem'
import type { Entry } from '../src/api/tables'
import { BoardStore } from '../src/board/store'

beforeEach(() => {
  vi.stubGlobal('requestAnimationFrame', () => 1)
  vi.stubGlobal('cancelAnimationFrame', () => undefined)
})

const row = (version: number, more: Partial<Entry> = {}) => ({ id: '1', state_id: 'a', position: 'V', labels: [], version, ...more }) as unknown as Entry

interface Asked {
  command: Command
  answer: (row: Entry) => void
  refuse: (error: Error) => void
}

/** A board with one card, in version 3, and a server that answers when it is told to. */
function board() {
  const asked: Asked[] = []
  const refused = vi.fn()
  const rows = new Map<string, Entry>()
  let told: (rows: ReadonlyMap<string, Entry>, batch: Batch<Entry>) => void = () => undefined
  const source = {
    subscribe: (listener: typeof told) => {
      told = listener
      return () => undefined
    },
    seen: () => new Promise(() => undefined),
  } as unknown as Rows<Entry>
  const api = {
    send: (command: Command) => new Promise<Reply<Entry>>((resolve, reject) => asked.push({ command, answer: (row) => resolve({ row, tx: '9', lsn: '0/9' }), refuse: reject })),
  } as unknown as Api
  const store = new BoardStore(source, { tide: {} as Tidegate, api, refused })
  store.start()
  const stream = (entry: Entry) => {
    const before = rows.get(entry.id)
    rows.set(entry.id, entry)
    told(rows, { changes: [{ op: before ? 'update' : 'insert', key: entry.id, row: entry, before }] } as unknown as Batch<Entry>)
  }
  stream(row(3))
  const settled = () => new Promise((resolve) => setTimeout(resolve))
  return { store, asked, refused, stream, settled }
}

const move = (now: Entry): Command => ({ method: 'POST', path: '/move', version: now.version })

describe('what is asked for on one card', () => {
  it('is sent one after the other, each on what the one before it has made', async () => {
    const { store, asked, settled } = board()
    void store.attempt('1', { state_id: 'b' }, move)
    void store.attempt('1', { state_id: 'c' }, move)
    await settled()
    expect(asked.map(({ command }) => command.version)).toEqual([3])
    asked[0]?.answer(row(4, { state_id: 'b' }))
    await settled()
    expect(asked.map(({ command }) => command.version)).toEqual([3, 4])
  })

  it('goes by the last reply while the stream is late, and by the stream when that is further', async () => {
    const { store, asked, settled, stream } = board()
    void store.attempt('1', { state_id: 'b' }, move)
    await settled()
    asked[0]?.answer(row(4))
    await settled()
    void store.attempt('1', { state_id: 'c' }, move)
    await settled()
    expect(asked[1]?.command.version).toBe(4)
    asked[1]?.answer(row(5))
    stream(row(8))
    await settled()
    void store.attempt('1', { state_id: 'a' }, move)
    await settled()
    expect(asked[2]?.command.version).toBe(8)
  })

  it('does not wait for other cards', async () => {
    const { store, asked, settled, stream } = board()
    stream(row(1, { id: '2' }))
    void store.attempt('1', {}, move)
    void store.attempt('2', {}, move)
    await settled()
    expect(asked).toHaveLength(2)
  })

  it('goes on after a refusal, which is told', async () => {
    const { store, asked, refused, settled } = board()
    const first = store.attempt('1', { state_id: 'b' }, move)
    void store.attempt('1', { state_id: 'c' }, move)
    await settled()
    asked[0]?.refuse(new Problem(409, { code: 'wip_limit' }))
    expect(await first).toBeNull()
    await settled()
    expect(refused).toHaveBeenCalledWith('That column is full.')
    expect(asked[1]?.command.version).toBe(3)
  })

  it('is asked again on top of what others did, where that undoes nothing', async () => {
    const { store, asked, refused, settled } = board()
    const label = (now: Entry): Command => ({ method: 'PATCH', path: '/', body: { labels: [...now.labels, 'mine'] }, version: now.version })
    const done = store.attempt('1', {}, label, { again: true })
    await settled()
    asked[0]?.refuse(new Problem(412, { code: 'stale_version', current: row(7, { labels: ['theirs'] }) }))
    await settled()
    expect(asked[1]?.command).toMatchObject({ version: 7, body: { labels: ['theirs', 'mine'] } })
    asked[1]?.answer(row(8, { labels: ['theirs', 'mine'] }))
    expect(await done).not.toBeNull()
    expect(refused).not.toHaveBeenCalled()
  })

  it('is refused where it would undo what others did', async () => {
    const { store, asked, refused, settled } = board()
    const done = store.attempt('1', {}, move)
    await settled()
    asked[0]?.refuse(new Problem(412, { code: 'stale_version', current: row(7) }))
    expect(await done).toBeNull()
    expect(asked).toHaveLength(1)
    expect(refused).toHaveBeenCalledOnce()
  })
})
