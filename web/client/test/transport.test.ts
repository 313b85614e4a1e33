import { afterAll, beforeAll, expect, test } from 'vitest'
import type { CloudEvent } from '../src/index.js'
import { eventually, House, pause, type Server } from './house.js'

let house: House
let server: Server

beforeAll(async () => {
  house = await House.found(`create table items (id bigint generated always as identity primary key, name text not null); alter table items replica identity full`)
  server = await house.serve()
})
afterAll(() => house[Symbol.asyncDispose]())

test('server-sent events do where sockets break, for rows that come and go', async () => {
  const network = await house.network(server)
  network.breaksUpgrades = true
  await house.sql`insert into items (name) values ('zeroth')`
  const tide = house.client(network)
  const items = tide.rows<{ name: string }>('items')
  let resets = 0
  items.subscribe((_, { reset }) => void (reset && resets++))
  await eventually('it is live', () => items.state === 'live')
  await house.sql`insert into items (name) values ('first')`
  await eventually('the first', () => items.current.size === 2)
  // Another subscription is another request, and nothing is told twice or left out.
  const more = tide.rows<{ name: string }>('items', { where: "name like 's%'" })
  more.subscribe(() => {})
  await house.sql`insert into items (name) values ('second')`
  await eventually('both have it', () => items.current.size === 3 && more.current.size === 1)
  expect(resets).toBe(1)
  network.cut()
  await house.sql`insert into items (name) values ('third')`
  await eventually('it goes on', () => items.current.size === 4)
  expect(resets).toBe(1)
  await expect(items.page()).rejects.toMatchObject({ code: 'unsupported' })
  const [row] = await house.sql.begin(async (sql) => {
    await sql`insert into items (name) values ('mine')`
    return sql<{ tx: string }[]>`select pg_current_xact_id()::xid::text as tx`
  })
  await items.seen({ tx: row!.tx })
  await house.sql`create table elsewhere (id int primary key)`
  const [at] = await house.sql<{ lsn: string }[]>`select pg_current_wal_insert_lsn()::text as lsn`
  await tide.seen({ lsn: at!.lsn }, { timeoutMs: 5_000 })
  expect(resets).toBe(1)
  const wrong = await new Promise((resolve) => tide.rows('items', { where: 'nonsense (' }).subscribe(() => {}, resolve))
  expect(wrong).toMatchObject({ code: 'filter_unsupported' })
  expect(items.state === 'live' || items.state === 'stale').toBe(true)
})

test('over server-sent events too a dead network is noticed within seconds, sooner where there is doubt, and so is a dead stream', async () => {
  const network = await house.network(server)
  const tide = house.client(network, { transport: 'sse' })
  const items = tide.rows<{ name: string }>('items')
  let resets = 0
  items.subscribe((_, { reset }) => void (reset && resets++))
  await eventually('it is live', () => items.state === 'live')
  // How far the server is is told here too, once it is asked.
  await eventually('latency', () => tide.status.current.latencyMs)
  network.die()
  const died = Date.now()
  await house.sql`insert into items (name) values ('in the silence')`
  await eventually('it is noticed', () => tide.status.current.state === 'offline')
  expect(Date.now() - died).toBeLessThan(11_000)
  network.revive()
  tide.wake()
  await eventually('nothing is lost', () => items.state === 'live' && [...items.current.values()].some(({ name }) => name === 'in the silence'))

  await pause(1_200)
  network.die()
  const diedAgain = Date.now()
  tide.wake()
  await eventually('it is noticed', () => tide.status.current.state === 'offline')
  expect(Date.now() - diedAgain).toBeLessThan(4_500)
  network.revive()
  tide.wake()
  await eventually('it is live', () => tide.status.current.state === 'live' && items.state === 'live')

  // The server is there, and the connections to it are dead: that of the stream, and any that a request would go over again.
  await pause(1_200)
  network.deafen()
  await house.sql`insert into items (name) values ('behind a dead stream')`
  tide.wake()
  await eventually('it has come', () => [...items.current.values()].some(({ name }) => name === 'behind a dead stream'), 8_000)
  expect(resets).toBe(1)
}, 60_000)

test('an only subscription that is refused is refused over server-sent events too', async () => {
  const tide = house.client(server, { transport: 'sse' })
  const error = await new Promise((resolve) => tide.rows('itemz').subscribe(() => {}, resolve))
  expect(error).toMatchObject({ code: 'unknown_table' })
})

test('events on a channel come once each, over a cut', async () => {
  const network = await house.network(server)
  const tide = house.client(network)
  const heard: CloudEvent<{ n: number }>[] = []
  const stop = tide.channel<{ n: number }>('deploys.eu').on((event) => heard.push(event))
  await eventually('it is live', () => tide.status.current.state === 'live' && tide.status.current.pending === 0)
  const publish = (n: number) =>
    fetch(`http://${server.address}/v1/publish`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ channel: 'deploys.eu', data: { n } }) })
  await publish(1)
  await eventually('the first', () => heard.length === 1)
  network.cut()
  for (const n of [2, 3]) expect((await publish(n)).status).toBe(200)
  await eventually('all', () => heard.length === 3)
  expect(heard.map(({ data }) => data!.n)).toEqual([1, 2, 3])
  expect(heard[0]).toMatchObject({ specversion: '1.0', subject: 'deploys.eu' })
  stop()
  const error = await new Promise((resolve) => tide.channel('x'.repeat(1_000)).on(() => {}, { failed: resolve }))
  expect(error).toMatchObject({ code: 'bad_request', field: 'channel' })
})
