import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually, House, type Network, pause, type Server } from './house.js'

/** How long the clients are cut at random. */
const SECONDS = Number(process.env.SOAK_SECONDS ?? 15)
const CLIENTS = 200
const NETWORKS = 10

interface Item {
  id: string
  board: number
  name: string
}

let house: House
let server: Server

beforeAll(async () => {
  house = await House.found(`create table items (id bigint generated always as identity primary key, board int not null, name text not null); alter table items replica identity full`)
  server = await house.serve()
})
afterAll(() => house[Symbol.asyncDispose]())

test(`${CLIENTS} clients with random cuts for ${SECONDS} s are equal to the table in the end`, async () => {
  const { sql } = house
  await sql`insert into items (board, name) select n % 10, 'item ' || n from generate_series(1, 1000) n`
  const networks = await Promise.all(Array.from({ length: NETWORKS }, () => house.network(server)))
  const clients = Array.from({ length: CLIENTS }, (_, at) => {
    const tide = house.client(networks[at % NETWORKS]!)
    const board = Math.floor(at / 20)
    const items = tide.rows<Item>('items', { where: 'board = $1', params: [board] })
    const counts = { resets: 0, changes: 0, twice: 0, lines: 0 }
    items.subscribe((_, { reset, changes }) => {
      if (reset) counts.resets++
      counts.changes += changes.length
      // A row that comes as it was would have been told twice.
      for (const change of changes) if (change.op === 'update' && change.before?.name === change.row.name && change.before.board === change.row.board) counts.twice++
    })
    let before = ''
    tide.status.subscribe(({ state }) => {
      if (state === 'live' && before !== 'live') counts.lines++
      before = state
    })
    return { tide, items, board, counts }
  })
  await eventually('all are live', () => clients.every(({ items }) => items.state === 'live'), 60_000)

  const until = Date.now() + SECONDS * 1_000
  let cuts = 0
  let deaths = 0
  const cut = async (network: Network) => {
    while (Date.now() < until) {
      await pause(500 + Math.random() * 3_000)
      if (Math.random() < 0.8) {
        network.cut()
        cuts++
      } else {
        network.die()
        await pause(Math.random() * 2_000)
        network.revive()
        deaths++
      }
    }
  }
  let commits = 0
  const work = async () => {
    while (Date.now() < until) {
      const id = 1 + Math.floor(Math.random() * 1_000)
      const dice = Math.random()
      await sql.begin(async (sql) => {
        await sql`update items set name = ${`change ${++commits}`} where id = ${id}`
        if (dice < 0.2) await sql`update items set board = ${Math.floor(Math.random() * 10)}, name = ${`moved ${commits}`} where id = ${1 + Math.floor(Math.random() * 1_000)}`
        if (dice > 0.9) await sql`insert into items (board, name) values (${Math.floor(Math.random() * 10)}, ${`new ${commits}`})`
        if (dice > 0.95) await sql`delete from items where id = ${id}`
      })
    }
  }
  await Promise.all([...networks.map(cut), work(), work()])

  const rows = await sql<{ id: string; board: number; name: string }[]>`select id::text, board, name from items order by items.id`
  const [at] = await sql<{ lsn: string }[]>`select pg_current_wal_insert_lsn()::text as lsn`
  await Promise.all(clients.map(({ items }) => items.seen({ lsn: at!.lsn }, { timeoutMs: 60_000 })))
  for (const { items, board, tide } of clients) {
    const held = [...items.current.values()].sort((a, b) => Number(a.id) - Number(b.id))
    expect(held).toEqual(rows.filter((row) => row.board === board))
    expect([items.state, tide.status.current.pending]).toEqual(['live', 0])
  }
  const sum = (name: keyof (typeof clients)[0]['counts']) => clients.reduce((total, { counts }) => total + counts[name], 0)
  console.log(`${commits} commits, ${cuts} cuts, ${deaths} deaths; ${sum('lines')} lines, ${sum('changes')} changes told, ${sum('resets')} snapshots`)
  expect(sum('twice')).toBe(0)
  // From the cursor, every time.
  expect(sum('resets')).toBe(CLIENTS)
}, (SECONDS + 180) * 1_000)
