import 'fake-indexeddb/auto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Batch } from '../src/index.js'
import { indexedDb } from '../src/persist.js'
import { eventually, House, pause, type Server } from './house.js'

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
