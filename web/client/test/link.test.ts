import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Batch, type Status, type Tidegate, TidegateError } from '../src/index.js'
import { eventually, House, type Network, type Server } from './house.js'
import { sign } from './token.js'

interface Item {
  id: string
  name: string
}

let house: House
let server: Server

beforeAll(async () => {
  house = await House.found(`
    create table items (id bigint generated always as identity primary key, name text not null, owner text not null default 'ada');
    alter table items replica identity full;
    do $$ begin create role reader nologin; exception when duplicate_object or unique_violation then null; end $$;
    grant select on items to reader;
    alter table items enable row level security;
    create policy own on items for select to reader using (owner = current_setting('request.jwt.claims', true)::json ->> 'sub');
  `)
  server = await house.serve()
})
afterAll(() => house[Symbol.asyncDispose]())

const add = async (name: string) => void (await house.sql`insert into items (name) values (${name})`)

/** The states that a client goes through. */
function states(tide: Tidegate): Status['state'][] {
  const seen: Status['state'][] = []
  tide.status.subscribe(({ state }) => void (seen.at(-1) !== state && seen.push(state)))
  return seen
}

function watched(place: Network | Server, options = {}) {
  const tide = house.client(place, options)
  const items = tide.rows<Item>('items')
  const batches: Batch<Item>[] = []
  const told = states(tide)
  items.subscribe((_, batch) => batches.push(batch))
  const names = () => [...items.current.values()].map(({ name }) => name)
  return { tide, items, batches, names, told }
}

test('a line that is cut is laid again, and goes on from the cursor', async () => {
  const network = await house.network(server)
  const { tide, items, batches, names, told } = watched(network)
  await add('before')
  await eventually('it is there', () => names().includes('before'))
  network.cut()
  await add('meanwhile')
  await eventually('it has come', () => names().includes('meanwhile'))
  // One snapshot, and then changes alone.
  expect(batches.filter(({ reset }) => reset).length).toBe(1)
  expect(told).toEqual(['idle', 'connecting', 'live', 'offline', 'resuming', 'live'])
  expect([items.state, tide.status.current.pending]).toEqual(['live', 0])
  expect(tide.status.current.latencyMs).toBeGreaterThan(0)
})

test('a server that forgot everything is answered with one step, and no row is missed from the screen', async () => {
  const own = await House.found(`create table items (id bigint primary key, name text)`)
  try {
    const server = await own.serve()
    await own.sql`insert into items select n, 'item ' || n from generate_series(1, 100) n`
    const items = own.client(server).rows<Item>('items')
    const sizes: number[] = []
    items.subscribe((rows) => sizes.push(rows.size))
    await eventually('the rows', () => items.current.size === 100)
    const kept = items.current.get('5')
    await server.stop('SIGKILL')
    await eventually('the line is gone', () => items.state === 'stale')
    await own.sql`update items set name = 'other' where id = 7`
    await own.sql`delete from items where id = 9`
    await server.start()
    await eventually('it is exact again', () => items.state === 'live' && items.current.get('7')?.name === 'other')
    expect(Math.min(...sizes)).toBeGreaterThanOrEqual(99)
    expect(items.current.has('9')).toBe(false)
    // What is as it was is the same object: nothing has to be drawn again.
    expect(items.current.get('5')).toBe(kept)
  } finally {
    await own[Symbol.asyncDispose]()
  }
})

test('a dead network is noticed within seconds, and a hint makes it sooner', async () => {
  const network = await house.network(server)
  const { tide, names } = watched(network)
  await eventually('it is live', () => tide.status.current.state === 'live')
  network.die()
  const died = Date.now()
  await add('in the silence')
  await eventually('it is noticed', () => tide.status.current.state === 'offline')
  expect(Date.now() - died).toBeLessThan(11_000)
  network.revive()
  tide.wake()
  await eventually('nothing is lost', () => names().includes('in the silence'))

  network.die()
  const diedAgain = Date.now()
  tide.wake()
  await eventually('it is noticed', () => tide.status.current.state === 'offline')
  expect(Date.now() - diedAgain).toBeLessThan(3_500)
  network.revive()
}, 40_000)

test('waits grow, are told, and end at once when asked', async () => {
  const network = await house.network(server)
  const { tide } = watched(network)
  await eventually('it is live', () => tide.status.current.state === 'live')
  await network.close()
  await eventually('it is told when it is tried again', () => tide.status.current.state === 'offline' && (tide.status.current.retryAt ?? 0) > Date.now())
  // It may be between two attempts, or in one.
  await network.open()
  tide.wake()
  await eventually('it is live', () => tide.status.current.state === 'live')
})

test('a write of one’s own comes round, also where it does not show', async () => {
  const network = await house.network(server)
  const { tide, items } = watched(network)
  await eventually('it is live', () => items.state === 'live')
  const write = async (text: string) => {
    const [row] = await house.sql.begin(async (sql) => {
      await sql.unsafe(text)
      return sql<{ tx: string }[]>`select pg_current_xact_id()::xid::text as tx`
    })
    const [at] = await house.sql<{ lsn: string }[]>`select pg_current_wal_insert_lsn()::text as lsn`
    return { tx: row!.tx, lsn: at!.lsn }
  }
  const shown = await write(`insert into items (name) values ('mine')`)
  await items.seen(shown)
  expect([...items.current.values()].some(({ name }) => name === 'mine')).toBe(true)
  // Already told.
  await items.seen({ tx: shown.tx })
  await tide.seen(await write(`create table if not exists elsewhere (id int primary key)`))

  // Over a cut: it waits for the next line.
  network.die()
  const over = write(`insert into items (name) values ('over')`).then((seen) => items.seen(seen))
  network.cut()
  network.revive()
  await over
  expect(tide.status.current.pending).toBe(0)

  const never = await items.seen({ tx: '4294967295' }, { timeoutMs: 200 }).catch((error: unknown) => error)
  expect(never).toMatchObject({ code: 'timeout' })
  await expect(tide.seen({ tx: '7' })).rejects.toMatchObject({ code: 'bad_request' })
  const closing = expect(items.seen({ lsn: 'FFFF/0' })).rejects.toMatchObject({ code: 'closed' })
  tide.close()
  await closing
})

test('tokens are renewed in place, fetched anew when refused, and a second refusal is the end', async () => {
  const secret = 'a secret of at least thirty-two bytes, for HS256'
  const own = await House.found(`
    create table items (id bigint generated always as identity primary key, name text not null, owner text not null default 'ada');
    alter table items replica identity full;
    alter table items enable row level security;
    grant select on items to reader;
    create policy own on items for select to reader using (owner = current_setting('request.jwt.claims', true)::json ->> 'sub');
  `)
  try {
    const server = await own.serve({ 'auth.mode': 'jwt', 'auth.jwt.secret': secret, 'auth.roles': '["reader"]' })
    const reasons: string[] = []
    let good = true
    const token = (reason: string) => {
      reasons.push(reason)
      return sign({ sub: 'ada', role: 'reader', exp: Math.floor(Date.now() / 1_000) + (good ? 4 : -100) }, secret)
    }
    const tide = own.client(server, { token })
    const items = tide.rows<Item>('items')
    let resets = 0
    items.subscribe((_, { reset }) => void (reset && resets++))
    await eventually('it is live', () => items.state === 'live')
    await own.sql`insert into items (name, owner) values ('hers', 'ada'), ('his', 'ben')`
    await eventually('hers alone', () => items.current.size > 0)
    expect([...items.current.values()].map(({ name }) => name)).toEqual(['hers'])
    await eventually('it was renewed twice', () => reasons.filter((reason) => reason === 'renew').length >= 2)
    expect([resets, items.state, reasons[0]]).toEqual([1, 'live', 'connect'])

    good = false
    const ended = await eventually('the end', () => tide.status.current.state === 'ended' && tide.status.current)
    expect(ended.error).toMatchObject({ code: 'unauthenticated' })
    expect(reasons.at(-1)).toBe('refused')
    // What it may not see any longer is gone.
    expect([items.state, items.current.size]).toEqual(['ended', 0])
    const late = tide.rows('items', { where: 'id > 5' })
    const error = await new Promise((resolve) => late.subscribe(() => {}, resolve))
    expect(error).toBeInstanceOf(TidegateError)
  } finally {
    await own[Symbol.asyncDispose]()
  }
}, 40_000)
