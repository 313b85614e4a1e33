import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { Browser, type Tab } from './browser.js'
import { eventually, House, pause, type Server } from './house.js'

let house: House
let server: Server
let browser: Browser

beforeAll(async () => {
  house = await House.found(`create table items (id bigint generated always as identity primary key, name text not null); alter table items replica identity full`)
  await house.sql`insert into items (name) select 'item ' || n from generate_series(1, 200) n`
  server = await house.serve()
})
afterAll(() => house[Symbol.asyncDispose]())
beforeEach(async () => void (browser = await Browser.start()))
afterEach(() => browser[Symbol.asyncDispose]())

const shows = ['items']
const open = (places: { address: string } | { address: string }[], more: Partial<Parameters<Browser['open']>[0]> = {}) =>
  browser.open({ addresses: [places].flat().map(({ address }) => address), shows, ...more })

let turns = 0
/** Some transactions, and where the last of them ends. */
async function write(): Promise<string> {
  for (let n = 0; n < 3; n++) {
    await house.sql`update items set name = ${`turn ${++turns}`} where id = ${1 + (turns % 100)}`
    await house.sql`insert into items (name) values (${`new ${turns}`})`
  }
  await house.sql`delete from items where id = (select max(id) from items)`
  const [at] = await house.sql<{ lsn: string }[]>`select pg_current_wal_insert_lsn()::text as lsn`
  return at!.lsn
}

const live = (tab: Tab) =>
  eventually('all of it is live', async () => {
    const { status, rows } = await tab.look()
    return status.state === 'live' && status.pending === 0 && Object.values(rows).every(({ state }) => state === 'live')
  })

/** Each tab has what `SELECT` gives, after further writes too. */
async function equal(...all: Tab[]): Promise<void> {
  const lsn = await write()
  await Promise.all(all.map((tab) => tab.seen(lsn)))
  const rows = (await house.sql<{ id: string; name: string }[]>`select id::text, name from items order by items.id`).map((row) => ({ ...row }))
  for (const tab of all) {
    // It may be about to share again.
    await live(tab)
    const { rows: shown } = await tab.look()
    for (const [what, { state, rows: held }] of Object.entries(shown)) {
      const id = /id = (\d+)/.exec(what)?.[1]
      expect([what, state, held]).toEqual([what, 'live', id === undefined ? rows : rows.filter((row) => row.id === id)])
    }
  }
}

test('tabs share one line, and when the tab that leads dies or closes, the next leads and nothing is told twice', async () => {
  const network = await house.network(server)
  const [one, two] = [open(network), open(network)]
  await Promise.all([live(one), live(two)])
  expect(network.connections).toBe(1)
  await equal(one, two)
  const [first, other] = (await one.look()).laid.length === 1 ? [one, two] : [two, one]
  await first.die()
  await equal(other)
  const third = open(network)
  await live(third)
  await other.close()
  await equal(third)
  expect(network.connections).toBe(1)
  const { states, rows } = await third.look()
  expect([states.includes('offline'), rows.items!.resets]).toEqual([false, 1])
})

test('the tab that leads dies before its line stands', async () => {
  const network = await house.network(server)
  network.die()
  const first = open(network)
  await eventually('it lays', async () => (await first.look()).laid.length === 1)
  const second = open(network)
  await pause(300)
  await first.die()
  network.revive()
  await live(second)
  await equal(second)
})

test('the tab that leads dies between `ready` and its first word', async () => {
  const network = await house.network(server)
  const first = open(network, { stopsAtReady: true })
  await first.stopped
  const second = open(network)
  await pause(300)
  const third = open(network)
  await pause(100)
  await first.die()
  await Promise.all([live(second), live(third)])
  await equal(second, third)
  expect(network.connections).toBe(1)
})

test('three tabs and two addresses: handovers stay with the server, are no failure, and late comers follow', async () => {
  const [near, far] = [await house.network(server), await house.network(server)]
  const one = open([near, far])
  await live(one)
  const two = open([near, far])
  await live(two)
  // The order of the list may be another one in another tab.
  const three = open([far, near])
  await live(three)
  const at = async (tab: Tab) => new URL((await tab.look()).status.server).host
  const connections = () => [near, far].map(({ connections }) => connections)
  expect([connections(), await at(three)]).toEqual([[1, 0], near.address])

  // Twice within 30 s.
  await one.close()
  await equal(two, three)
  const wasLaidBy = (await two.look()).laid.length === 1 ? two : three
  const last = wasLaidBy === two ? three : two
  expect(await at(last)).toBe(await at(wasLaidBy))
  const place = await at(wasLaidBy)
  await wasLaidBy.die()
  await equal(last)
  const four = open([near, far])
  await live(four)
  await equal(last, four)
  expect([await at(last), await at(four), connections().sort()]).toEqual([place, place, [0, 1]])
  for (const tab of [last, four]) expect((await tab.look()).states).not.toContain('offline')

  // That server goes: all of them go on on the other one, and who comes then too.
  await (place === near.address ? near : far).close()
  await Promise.all([live(last), live(four)])
  const five = open([near, far])
  await live(five)
  await equal(last, four, five)
  const other = place === near.address ? far.address : near.address
  expect([await at(last), await at(four), await at(five), connections().sort()]).toEqual([other, other, other, [0, 1]])
}, 60_000)

test('a third tab joins in the middle of a handover', async () => {
  const network = await house.network(server)
  for (const waitMs of [0, 5, 20, 60]) {
    const own = await Browser.start()
    const opened = () => own.open({ addresses: [network.address], shows })
    try {
      const first = opened()
      await live(first)
      const second = opened()
      await live(second)
      const dying = first.die()
      await pause(waitMs)
      const third = opened()
      await dying
      await Promise.all([live(second), live(third)])
      await equal(second, third)
      await eventually('they share', () => network.connections === 1)
    } finally {
      await own[Symbol.asyncDispose]()
    }
  }
}, 60_000)

test('while the tab that leads is frozen the others have lines of their own, and share again once it has thawed', async () => {
  const network = await house.network(server)
  const first = open(network)
  await live(first)
  const [second, third] = [open(network), open(network)]
  await Promise.all([live(second), live(third)])
  // For a moment: nothing comes of it.
  await first.freeze(1_000)
  await equal(first, second, third)
  expect(network.connections).toBe(1)

  await first.freeze(16_000)
  const at = await write()
  await Promise.all([second.seen(at, 15_000), third.seen(at, 15_000)])
  for (const tab of [second, third]) expect((await tab.look()).states).not.toContain('offline')
  expect(network.connections).toBe(3)
  await equal(first, second, third)
  await eventually('they share again', () => network.connections === 1, 20_000)
  await equal(first, second, third)
}, 90_000)

test('a tab that comes while the one that leads is frozen shares once that has thawed', async () => {
  const network = await house.network(server)
  const first = open(network)
  await live(first)
  await first.freeze(5_000)
  const second = open(network)
  await live(second)
  expect(network.connections).toBe(2)
  await eventually('they share', () => network.connections === 1)
  await equal(first, second)
}, 60_000)

test('positions that the server takes no more of are asked for again', async () => {
  const first = open(server, { refusesAwaits: 3 })
  await live(first)
  const second = open(server)
  await live(second)
  await equal(first, second)
})

test('tabs with more than one socket takes have a line beside it, and nothing ends; after a handover they are asked for at a pace', async () => {
  const network = await house.network(server)
  const many = Array.from({ length: 56 }, (_, at) => `items where id = ${at + 1}`)
  const all = [1, 2, 3, 4].map(() => open(network, { shows: many }))
  await Promise.all(all.map(live))
  await equal(...all)
  expect(network.connections).toBe(3)
  const leads = (await Promise.all(all.map(async (tab) => [tab, (await tab.look()).laid.length] as const))).find(([, laid]) => laid === 1)![0]
  await leads.die()
  const left = all.filter((tab) => tab !== leads)
  await Promise.all(left.map(live))
  await equal(...left)
  // Of those that have a line of their own one finds room.
  await eventually('two of them share', () => network.connections === 2, 20_000)
  await equal(...left)
  for (const tab of left) expect((await tab.look()).states).not.toContain('offline')
}, 90_000)

test('a server that takes fewer is believed', async () => {
  const own = await House.found(`create table items (id bigint primary key, name text not null)`)
  try {
    await own.sql`insert into items select n, 'item' from generate_series(1, 20) n`
    const few = await own.serve({ 'session.max_subscriptions': '8' })
    const network = await own.network(few)
    const some = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => `items where id = ${from + at}`)
    const first = open(network, { shows: some(1, 6) })
    await live(first)
    const second = open(network, { shows: some(1, 6) })
    await live(second)
    expect(network.connections).toBe(2)
    // Now the one that leads wants more than there is beside a third.
    const third = open(network, { shows: some(1, 3) })
    await live(third)
    expect(network.connections).toBe(2)
    for (const what of some(6, 8)) await first.show(what)
    await Promise.all([first, second, third].map(live))
    for (const tab of [first, second, third]) {
      const { rows } = await tab.look()
      expect(Object.values(rows).map(({ error }) => error)).toEqual(Object.values(rows).map(() => undefined))
    }
  } finally {
    await browser[Symbol.asyncDispose]()
    await own[Symbol.asyncDispose]()
  }
}, 60_000)

test('how far the server is is told to all, as the tab that leads measures it', async () => {
  const network = await house.network(server)
  network.delayMs = 120
  const [one, two] = [open(network), open(network)]
  await Promise.all([live(one), live(two)])
  for (const tab of [one, two]) {
    const latency = await eventually('it is measured', async () => (await tab.look()).status.latencyMs)
    expect(latency).toBeGreaterThan(100)
  }
})

test('a dead network is noticed in a tab that does not lead, at once where there is doubt', async () => {
  const network = await house.network(server)
  const first = open(network)
  await live(first)
  const second = open(network)
  await live(second)
  await equal(first, second)
  network.die()
  const died = Date.now()
  await second.wake()
  await eventually('it is noticed', async () => (await second.look()).status.state === 'offline')
  expect(Date.now() - died).toBeLessThan(4_500)
  network.revive()
  await equal(first, second)
}, 40_000)

test('tabs share a stream of server-sent events, however slow some are: another one takes its place only for what is new, and none of them notices', async () => {
  const network = await house.network(server)
  const all = [0, 40, 40, 400].map((saysLateMs) => open(network, { transport: 'sse', saysLateMs }))
  await Promise.all(all.map(live))
  const looks = () => Promise.all(all.map((tab) => tab.look()))
  const lines = async () => (await looks()).reduce((sum, { laid }) => sum + laid.length, 0)
  const before = await lines()
  expect(before).toBeLessThan(10)
  await pause(3_000)
  expect(await lines()).toBe(before)
  const states = (await looks()).map(({ states }) => states.length)
  await all[2]!.show('items where id = 7')
  await live(all[2]!)
  // Each await is another request too.
  await equal(...all)
  const after = await looks()
  expect(after.map(({ states }) => states.length)).toEqual(states)
  expect(after.map(({ rows }) => rows.items!.resets)).toEqual([1, 1, 1, 1])
}, 60_000)

test('who asks to be let in before it holds its own lock would be taken for gone, so it does not', async () => {
  const first = open(server)
  await live(first)
  const second = open(server, { lockDelayMs: 1_200 })
  await second.look()
  const channel = new BroadcastChannel(`tidegate:${browser.scope}:ws://${server.address}/v1/socket`)
  try {
    // As if the lead had changed meanwhile.
    for (let n = 0; n < 8; n++) {
      await pause(50)
      channel.postMessage({ kind: 'closed', code: 4998, reason: '' })
    }
  } finally {
    channel.close()
  }
  expect((await second.look()).states).toEqual(['idle', 'connecting'])
  await live(second)
  expect((await second.look()).states).toEqual(['idle', 'connecting', 'live'])
  await equal(first, second)
})
