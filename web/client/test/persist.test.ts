import 'fake-indexeddb/auto'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { Batch } from '../src/index.js'
import { indexedDb, Saver, type Store, type Update } from '../src/persist.js'
import { eventually, House, pause, type Server } from './house.js'
import { Locks, locksOf } from './locks.js'

interface Item {
  id: string
  name: string
}

let house: House
let server: Server

beforeAll(async () => {
  house = await House.found(`create table items (id bigint primary key, name text not null); alter table items replica identity full`)
  server = await house.serve()
  await house.sql`insert into items select n, 'item ' || n from generate_series(1, 200) n`
})
afterAll(() => house[Symbol.asyncDispose]())

const open = (scope: string, place: { address: string } = server, options = {}) => {
  const store = indexedDb(scope, options)
  const tide = house.client(place, { persist: store })
  const items = tide.rows<Item>('items')
  const batches: Batch<Item>[] = []
  const stop = items.subscribe((_, batch) => batches.push(batch))
  return { store, tide, items, batches, stop }
}

test('after a reload content is there before the line, and then what came meanwhile, as changes', async () => {
  const first = open('ada')
  await eventually('the rows', () => first.items.state === 'live' && first.items.current.size === 200)
  await house.sql`update items set name = 'changed' where id = 1`
  await eventually('the change', () => first.items.current.get('1')?.name === 'changed')
  // What was told is written a moment later.
  await pause(600)
  first.tide.close()

  await house.sql`update items set name = 'meanwhile' where id = 2`
  await house.sql`delete from items where id = 3`
  const network = await house.network(server)
  network.die()
  const second = open('ada', network)
  await eventually('what was kept', () => second.items.state === 'stale' && second.items.current.size === 200)
  expect(second.items.current.get('1')?.name).toBe('changed')
  expect(second.items.current.get('2')?.name).toBe('item 2')
  expect(second.tide.status.current.state).not.toBe('live')
  network.revive()
  await eventually('it is exact', () => second.items.state === 'live' && second.items.current.get('2')?.name === 'meanwhile')
  expect(second.items.current.has('3')).toBe(false)
  expect(second.batches.map(({ reset }) => reset)).toEqual([true, false, false])
})

test('what another tab wrote, or swept away, is nothing to build upon: it is written whole', async () => {
  const kept = async (scope: string) => {
    const { items, tide } = open(scope, { address: '127.0.0.1:9' })
    await pause(200)
    const rows = new Map(items.current)
    tide.close()
    return rows
  }
  const [one, two] = [open('dov'), open('dov')]
  await eventually('both are live', () => one.items.state === 'live' && two.items.state === 'live')
  for (let n = 0; n < 20; n++) {
    await house.sql`update items set name = ${`turn ${n}`} where id = ${50 + (n % 3)}`
    await pause(60)
  }
  await eventually('both have it', () => one.items.current.get('51')?.name === 'turn 19' && two.items.current.get('51')?.name === 'turn 19')
  await pause(1_200)
  expect([...(await kept('dov'))].sort()).toEqual([...one.items.current].sort())

  // As the browser does when its disk is full.
  await new Promise((resolve) => {
    const request = indexedDB.open('tidegate:dov')
    request.onsuccess = () => {
      const transaction = request.result.transaction(['heads', 'rows'], 'readwrite')
      transaction.objectStore('heads').clear()
      transaction.objectStore('rows').clear()
      transaction.oncomplete = () => {
        request.result.close()
        resolve(undefined)
      }
    }
  })
  two.tide.close()
  await house.sql`update items set name = 'one alone' where id = 60`
  await eventually('the change', () => one.items.current.get('60')?.name === 'one alone')
  await pause(4_000)
  one.tide.close()
  expect([...(await kept('dov'))].sort()).toEqual([...one.items.current].sort())
})

test('what one could see is not shown to another, nor after it was cleared, nor when it is too much', async () => {
  const shown = async (scope: string, options = {}) => {
    const { items, batches, tide } = open(scope, server, options)
    await eventually('it is live', () => items.state === 'live')
    const first = batches.length
    await pause(500)
    tide.close()
    return first
  }
  // From the server alone: one batch. From what was kept: two, or one with what was kept and nothing new.
  const { items, store, tide } = open('ada')
  await eventually('what was kept, at once', () => items.state === 'stale' || items.state === 'live')
  tide.close()
  await store.clear()
  await pause(400)
  const networkless = (scope: string, options = {}) => {
    const { items, tide } = open(scope, { address: '127.0.0.1:9' }, options)
    return { items, tide }
  }
  for (const scope of ['ada', 'ben']) {
    const { items, tide } = networkless(scope)
    await pause(300)
    expect([scope, items.current.size]).toEqual([scope, 0])
    tide.close()
  }
  expect(await shown('cleo', { maxRows: 10 })).toBe(1)
  const { items: few, tide: last } = networkless('cleo', { maxRows: 10 })
  await pause(300)
  expect(few.current.size).toBe(0)
  last.close()
})

test('of tabs with the same rows one writes, and when it is gone the next', async () => {
  const [locks, one, two] = [new Locks(), {}, {}]
  // By whom heads were written.
  const writers = async () => {
    const request = indexedDB.open('tidegate:eva')
    await new Promise((resolve) => (request.onsuccess = resolve))
    const all = request.result.transaction('heads').objectStore('heads').getAll()
    await new Promise((resolve) => (all.onsuccess = resolve))
    request.result.close()
    return (all.result as { writer: string }[]).map(({ writer }) => writer)
  }
  try {
    // Each asks for its locks when it first writes.
    const opened = async (page: object) => {
      vi.stubGlobal('navigator', { locks: locksOf(locks, page) })
      const tab = open('eva')
      await eventually('it is live', () => tab.items.state === 'live')
      await pause(400)
      return tab
    }
    const first = await opened(one)
    const second = await opened(two)
    const [writer] = await writers()
    for (let n = 0; n < 10; n++) {
      await house.sql`update items set name = ${`eva ${n}`} where id = ${70 + n}`
      await pause(60)
    }
    await eventually('both have it', () => [first, second].every(({ items }) => items.current.get('79')?.name === 'eva 9'))
    await pause(600)
    expect(await writers()).toEqual([writer])
    first.tide.close()
    await pause(700)
    const [next] = await writers()
    expect(next).not.toBe(writer)
    await house.sql`update items set name = 'and on' where id = 79`
    await eventually('the change', () => second.items.current.get('79')?.name === 'and on')
    await pause(600)
    second.tide.close()
    expect(await writers()).toEqual([next])
    const third = open('eva', { address: '127.0.0.1:9' })
    await eventually('what was kept', () => third.items.state === 'stale')
    expect([...third.items.current].sort()).toEqual([...second.items.current].sort())
    third.tide.close()
  } finally {
    vi.unstubAllGlobals()
  }
})

test('after writes that failed the next are as quick as ever, once one has built upon the one before', async () => {
  vi.useFakeTimers()
  try {
    const updates: (Update & { at: number })[] = []
    let fails = 0
    const store: Store = {
      maxRows: 10,
      load: async () => undefined,
      forget: async () => {},
      turn: (_, ours) => {
        ours()
        return () => {}
      },
      save: async (_, update) => {
        updates.push({ ...update, at: Date.now() })
        return fails-- <= 0
      },
    }
    const head = { cursor: 'c', shape: 's', key: ['id'], columns: [], last: undefined }
    const saver = new Saver(store, 'items', () => ({ head, rows: new Map([['1', {}]]) }))
    const took = async () => {
      const began = Date.now()
      saver.change([{ op: 'insert', key: '1', row: {} }])
      const before = updates.length
      while (updates.length === before) await vi.advanceTimersByTimeAsync(50)
      return updates.at(-1)!.at - began
    }
    expect(await took()).toBe(250)
    fails = 4
    expect(await took()).toBe(250)
    await vi.advanceTimersByTimeAsync(20_000)
    expect(updates.at(-1)).toMatchObject({ whole: true })
    const waited = await took()
    expect(waited).toBeGreaterThan(2_000)
    expect(updates.at(-1)).toMatchObject({ whole: false })
    expect(await took()).toBe(250)
  } finally {
    vi.useRealTimers()
  }
})

test('what has no place on its socket is shown on, and what was kept of it stays', async () => {
  const own = await House.found(`create table items (id bigint primary key, name text not null)`)
  try {
    await own.sql`insert into items values (1, 'one'), (2, 'two')`
    const few = await own.serve({ 'session.max_subscriptions': '1' })
    const store = indexedDb('fay')
    const first = own.client(few, { persist: store })
    const items = first.rows<Item>('items')
    items.subscribe(() => {})
    await eventually('it is live', () => items.state === 'live')
    await pause(500)
    first.close()

    const second = own.client(few, { persist: store })
    second.rows<Item>('items', { where: 'id = 1', persist: false }).subscribe(() => {})
    await eventually('it is live', () => second.status.current.state === 'live' && second.status.current.pending === 0)
    const more = second.rows<Item>('items')
    const error = await new Promise((resolve) => more.subscribe(() => {}, resolve))
    expect(error).toMatchObject({ code: 'too_many_subscriptions' })
    expect([more.state, more.current.size]).toEqual(['ended', 2])
    second.close()
    await pause(200)

    const third = own.client({ address: '127.0.0.1:9' }, { persist: store })
    const kept = third.rows<Item>('items')
    kept.subscribe(() => {})
    await eventually('what was kept', () => kept.current.size === 2)
  } finally {
    await own[Symbol.asyncDispose]()
  }
})
