import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Batch, TidegateError } from '../src/index.js'
import { eventually, House, type Server } from './house.js'

interface Card {
  id: string
  board: number
  title: string
  body: string
  place: number
}

let house: House
let server: Server

beforeAll(async () => {
  house = await House.found(`
    create table cards (id bigint generated always as identity primary key, board int not null, title text not null, body text not null default '', place float8 not null default 0);
    create table seats (row text, number int, guest text, primary key (row, number));
    create table posts (id bigint primary key, at timestamptz not null, text text not null);
    create table odd (id int8 primary key, price numeric, at timestamptz, local timestamp, day date, big int8[]);
    alter table cards replica identity full;
    alter table seats replica identity full;
  `)
  server = await house.serve()
})
afterAll(() => house[Symbol.asyncDispose]())

test('a snapshot, then each transaction whole, in one call', async () => {
  const { sql } = house
  await sql`insert into cards (board, title) values (1, 'one'), (1, 'two'), (2, 'elsewhere')`
  const tide = house.client(server)
  const cards = tide.rows<Card>('public.cards', { where: 'board = $1', params: [1] })
  const seen: [string[], Batch<Card>][] = []
  cards.subscribe((rows, batch) => seen.push([[...rows.values()].map(({ title }) => title).sort(), batch]))
  await eventually('the snapshot', () => seen.length === 1)
  expect(seen[0]![0]).toEqual(['one', 'two'])
  expect(seen[0]![1]).toEqual({ reset: true, changes: [] })

  const [{ tx } = { tx: '' }] = await sql.begin(async (sql) => {
    await sql`insert into cards (board, title) values (1, 'three')`
    await sql`update cards set title = 'zwei' where title = 'two'`
    await sql`delete from cards where title = 'one'`
    return sql<{ tx: string }[]>`select pg_current_xact_id()::xid::text as tx`
  })
  await eventually('the transaction', () => seen.length === 2)
  const [titles, batch] = seen[1]!
  expect(titles).toEqual(['three', 'zwei'])
  expect(batch.tx).toBe(tx)
  expect(batch.changes.map(({ op }) => op).sort()).toEqual(['delete', 'insert', 'update'])
  const update = batch.changes.find(({ op }) => op === 'update')
  expect(update).toMatchObject({ row: { title: 'zwei' }, before: { title: 'two' } })
  expect(Date.parse(batch.committedAt!)).toBeGreaterThan(Date.now() - 60_000)
  expect(cards.state).toBe('live')
})

test('who asks for the same shares it, and `current` is another Map only when something has changed', async () => {
  const tide = house.client(server)
  const seats = tide.rows('seats')
  expect(tide.rows('seats')).toBe(seats)
  let calls = 0
  const count = () => calls++
  const stop = seats.subscribe(count)
  seats.subscribe(count)
  await eventually('both were told', () => calls === 2)
  const { current } = seats
  expect(seats.current).toBe(current)
  await house.sql`insert into seats values ('a', 1, 'Ada')`
  await eventually('both were told again', () => calls === 4)
  expect([...seats.current.entries()]).toEqual([['["a","1"]', { row: 'a', number: 1, guest: 'Ada' }]])
  expect(current.size).toBe(0)
  stop()
  await house.sql`delete from seats`
  await eventually('one is told', () => calls === 5)
  expect(seats.current.size).toBe(0)
})

test('a truncate empties the rows, with what its transaction wrote after it', async () => {
  await house.sql`insert into seats values ('b', 1, 'Ben'), ('b', 2, 'Cleo')`
  const seats = house.client(server).rows<{ guest: string }>('seats')
  seats.subscribe(() => {})
  await eventually('the snapshot', () => seats.current.size === 2)
  const sizes: number[] = []
  seats.subscribe((rows) => sizes.push(rows.size))
  await house.sql.begin(async (sql) => {
    await sql`truncate seats`
    await sql`insert into seats values ('c', 1, 'Dov')`
  })
  await eventually('the truncate', () => seats.current.has('["c","1"]'))
  expect(sizes).toEqual([2, 1])
  await house.sql`truncate seats`
  await eventually('the other', () => seats.current.size === 0)
})

test('large values that did not change stay', async () => {
  const body = Array.from({ length: 4_000 }, () => Math.random().toString(36)).join('')
  await house.sql`insert into cards (board, title, body) values (3, 'large', ${body})`
  const cards = house.client(server).rows<Card>('cards', { where: 'board = 3' })
  cards.subscribe(() => {})
  await eventually('the snapshot', () => cards.current.size === 1)
  await house.sql`update cards set title = 'larger' where board = 3`
  const [row] = await eventually('the change', () => [...cards.current.values()].some(({ title }) => title === 'larger') && [...cards.current.values()])
  expect(row!.body).toBe(body)
})

test('older rows come page by page, and what is bounded stays bounded', async () => {
  const { sql } = house
  await sql`insert into posts select n, timestamptz '2026-01-01' + n * interval '1 minute', 'post ' || n from generate_series(1, 30) n`
  const posts = house.client(server).rows<{ id: string }>('posts', { orderBy: 'at desc', limit: 10 })
  posts.subscribe(() => {})
  await eventually('the newest', () => posts.current.size === 10)
  expect([...posts.current.keys()][0]).toBe('30')
  const first = await posts.page(15)
  expect([first.rows.map(({ id }) => id).slice(0, 2), first.rows.length, first.last]).toEqual([['20', '19'], 15, false])
  const second = await posts.page(15, first.rows.at(-1))
  expect([second.rows.map(({ id }) => id), second.last]).toEqual([['5', '4', '3', '2', '1'], true])

  // Where nothing is said it is what is behind those that are held, however often.
  expect((await posts.page(1)).rows).toEqual([first.rows[0]])

  const others = house.client(server).rows<{ id: string }>('posts', { orderBy: 'at desc', limit: 5 })
  const mirror = new Set<string>()
  others.subscribe((rows, { reset, changes }) => {
    if (reset) for (const key of rows.keys()) mirror.add(key)
    for (const change of changes) {
      mirror[change.op === 'delete' ? 'delete' : 'add'](change.key)
      if (change.op === 'delete') expect(change.behind).toBe(true)
    }
  })
  await eventually('the newest', () => others.current.size === 5)
  await sql`insert into posts select n, timestamptz '2026-01-01' + n * interval '1 minute', 'post ' || n from generate_series(31, 330) n`
  await eventually('the newest again', () => others.current.has('330'))
  expect([...others.current.keys()].sort()).toEqual(['326', '327', '328', '329', '330'])
  // What was dropped was told: who follows the changes has the same rows.
  expect([...mirror].sort()).toEqual([...others.current.keys()].sort())
  expect((await others.page(1)).rows.map(({ id }) => id)).toEqual(['325'])
})

test('a listener that throws, and one that leaves as it is called, cost the others nothing', async () => {
  const errors: unknown[] = []
  const hear = (error: unknown) => errors.push(error)
  const before = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', hear)
  try {
    await house.sql`insert into cards (board, title) values (8, 'a')`
    const cards = house.client(server).rows<Card>('cards', { where: 'board = 8' })
    const titles: string[] = []
    cards.subscribe(() => {
      throw new Error('mine')
    })
    const once = cards.subscribe(() => once())
    cards.subscribe((rows) => titles.push(...[...rows.values()].map(({ title }) => title)))
    await eventually('the snapshot', () => titles.length === 1)
    await house.sql`update cards set title = 'b' where board = 8`
    await eventually('the change', () => titles.length === 2)
    expect(titles).toEqual(['a', 'b'])
    expect(errors.length).toBe(2)
  } finally {
    process.off('uncaughtException', hear)
    for (const listener of before) process.on('uncaughtException', listener)
  }
})

test('values are decoded as asked, and stay exact otherwise', async () => {
  await house.sql`insert into odd values (9007199254740993, 1.10, '2026-11-26 10:00:00.123456+00', '2026-11-26 10:00:00', '2026-11-26', array[1, null, 9007199254740993])`
  const plain = house.client(server).rows('odd')
  plain.subscribe(() => {})
  const [row] = await eventually('the row', () => plain.current.size > 0 && [...plain.current.values()])
  expect(row).toEqual({
    id: '9007199254740993',
    price: '1.10',
    at: '2026-11-26T10:00:00.123456Z',
    local: '2026-11-26T10:00:00',
    day: '2026-11-26',
    big: ['1', null, '9007199254740993'],
  })
  const decode = { int8: 'bigint', numeric: 'number', time: 'date' } as const
  const decoded = house.client(server, { decode }).rows('odd')
  decoded.subscribe(() => {})
  const [other] = await eventually('the row', () => decoded.current.size > 0 && [...decoded.current])
  expect(other).toEqual([
    '9007199254740993',
    {
      id: 9007199254740993n,
      price: 1.1,
      at: new Date('2026-11-26T10:00:00.123Z'),
      local: new Date('2026-11-26T10:00:00Z'),
      day: new Date('2026-11-26'),
      big: [1n, null, 9007199254740993n],
    },
  ])
})

test('what the server refuses is an error with its code and place', async () => {
  const cards = house.client(server).rows('cards', { where: "titel = 'x'" })
  const error = await new Promise<TidegateError>((resolve) => cards.subscribe(() => {}, resolve))
  expect(error).toBeInstanceOf(TidegateError)
  expect(error).toMatchObject({ code: 'unknown_column', field: 'where', position: 1 })
  expect(error.message).toContain('title')
  expect([cards.state, cards.error]).toEqual(['ended', error])
})

test('changes by themselves: rows first, then one by one; a slow reader is given the rows of then', async () => {
  const { sql } = house
  await sql`insert into cards (board, title) values (5, 'a')`
  const cards = house.client(server).rows<Card>('cards', { where: 'board = 5' })
  const changes = cards.changes()
  const first = await changes.next()
  expect(first.value).toMatchObject({ op: 'reset' })
  await sql`update cards set title = 'b' where board = 5`
  expect((await changes.next()).value).toMatchObject({ op: 'update', row: { title: 'b' }, before: { title: 'a' } })
  await sql`insert into cards (board, title) select 5, 'flood ' || n from generate_series(1, 6000) n`
  await sql`insert into cards (board, title) select 5, 'more ' || n from generate_series(1, 6000) n`
  await eventually('both have come', () => cards.current.size === 12_001)
  const third = await changes.next()
  expect(third.value).toMatchObject({ op: 'reset' })
  expect(third.value && 'rows' in third.value && third.value.rows.size).toBe(12_001)
  await changes.return()
})

test('rows that nobody looks at are let go, and come back from where they were', async () => {
  const network = await house.network(server)
  const tide = house.client(network)
  const cards = tide.rows<Card>('cards', { where: 'board = 6' })
  cards.subscribe(() => {})()
  await eventually('the line is let go', () => tide.status.current.state === 'idle')
  await eventually('the server knows', () => network.connections === 0)
  await house.sql`insert into cards (board, title) values (6, 'meanwhile')`
  const batches: Batch<Card>[] = []
  cards.subscribe((_, batch) => batches.push(batch))
  await eventually('the change', () => cards.current.size === 1)
  expect(batches.map(({ reset }) => reset)).toEqual([true, false])
})

test('`latest` tells values, and `snapshot: false` only what comes', async () => {
  const { sql } = house
  await sql`insert into cards (board, title) values (7, 'before')`
  const tide = house.client(server)
  const values = tide.rows<Card>('cards', { where: 'board = 7', delivery: 'latest', intervalMs: 100 })
  const live = tide.rows<Card>('cards', { where: 'board = 7', snapshot: false })
  const heard: string[] = []
  let told = 0
  values.subscribe(() => told++)
  live.subscribe((_, { changes }) => heard.push(...changes.map((change) => ('row' in change ? change.row.title : '-'))))
  await eventually('both are live', () => values.state === 'live' && live.state === 'live')
  for (let n = 1; n <= 50; n++) await sql`update cards set title = ${`n${n}`} where board = 7`
  await eventually('the newest value', () => [...values.current.values()][0]?.title === 'n50')
  expect(told).toBeLessThan(50)
  await eventually('every change', () => heard.at(-1) === 'n50')
  // From now on: the row of before may just be passing.
  expect(heard.filter((title) => title !== 'before')).toEqual(Array.from({ length: 50 }, (_, at) => `n${at + 1}`))
  expect(live.current.size).toBe(0)
})
