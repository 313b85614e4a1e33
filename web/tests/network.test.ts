import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { allTitles, card, connection, eventually, open, titles } from './hand.js'
import { Stage } from './stage.js'

let stage: Stage

beforeAll(async () => {
  stage = await Stage.open({ rabbitmq: true, tokenSeconds: 12 })
})
afterAll(() => stage[Symbol.asyncDispose]())

/**
 * What the page shows of a board is what the database has, every card of it. A card that there has not been before is added
 * first: what stood still could not show it.
 */
async function isExact(page: Page, board: string): Promise<void> {
  const states = await stage.sql<{ id: string; name: string }[]>`select id::text, name from public.workflow_states where board_id = ${board} order by ordinal`
  const [{ name: where }, mark] = [states[0]!, `Mark ${crypto.randomUUID()}`]
  await add(board, where, mark)
  await eventually(async () => {
    for (const { id, name } of states) {
      const rows = await stage.sql<{ title: string }[]>`select title from public.entries where state_id = ${id} order by position`
      const there = rows.map(({ title }) => title)
      if (name === where) expect(there).toContain(mark)
      expect(await allTitles(page, name), name).toEqual(there)
    }
  })
}

/** A card at a state's end: a place of the same length for any number of them. */
const add = (board: string, state: string, title: string) =>
  stage.sql`insert into public.entries (board_id, title, state_id, position)
    select ${board}, ${title}, s.id, 'z' || to_char(clock_timestamp(), 'YYYYMMDDHH24MISSUS') || 'V'
    from public.workflow_states s where s.board_id = ${board} and s.name = ${state}`

/** Others work: cards come, move, and go. */
async function work(board: string, changes: number): Promise<void> {
  const { sql } = stage
  for (let n = 0; n < changes; n++) {
    const [state] = await sql<{ name: string }[]>`select name from public.workflow_states where board_id = ${board} order by random() limit 1`
    await add(board, state!.name, `Meanwhile ${n} ${Math.random()}`)
    if (n % 5 === 0) await sql`delete from public.entries where id = (select max(id) - 3 from public.entries where board_id = ${board})`
    await sql`update public.entries set title = title || '.' where id = (select id from public.entries where board_id = ${board} order by random() limit 1)`
  }
}

test('a page that was offline for 20 s while others worked is exact, and lost nothing of what it shows meanwhile', async () => {
  const page = await stage.enter('ada')
  await open(page, 'Ferry app')
  await connection(page, 'live')
  const board = await stage.board('Ferry app')
  await page.getByRole('button', { name: /^Connection/ }).click()
  const network = page.getByRole('switch', { name: 'Network of this page' })
  // It is switched once the page has a line of its own, which takes a moment.
  await network.click()
  await connection(page, 'offline', 20_000)
  const offline = Date.now()
  expect(await titles(page, 'Backlog')).not.toEqual([])
  while (Date.now() - offline < 20_000) {
    await work(board, 5)
    await page.waitForTimeout(100)
  }
  await network.click()
  await connection(page, 'live')
  await isExact(page, board)
  await page.context().close()
}, 120_000)

test('a token that ends in mid-session is renewed, and nothing starts over', async () => {
  const page = await stage.enter('ada')
  await open(page, 'Ferry app')
  await connection(page, 'live')
  const states: string[] = []
  await page.exposeFunction('told', (state: string) => states.push(state))
  await page.evaluate(() => {
    const shell = document.querySelector('.shell')!
    new MutationObserver(() => void (window as unknown as { told(state: string): void }).told(shell.getAttribute('data-connection')!)).observe(shell, { attributeFilter: ['data-connection'] })
  })
  await page.waitForTimeout(30_000)
  expect(states).toEqual([])
  const board = await stage.board('Ferry app')
  await work(board, 3)
  await isExact(page, board)
  await page.context().close()
}, 120_000)

test('after a reload content is there before the socket is', async () => {
  const page = await stage.enter('ada')
  await open(page, 'Harbour sensors')
  await connection(page, 'live')
  const shown = await titles(page, 'Backlog')
  await page.waitForTimeout(1_000)
  // From here on no socket opens, and no stream.
  await page.routeWebSocket(/v1\/socket/, () => {})
  await page.route(/v1\/stream/, (route) => route.abort())
  await page.reload()
  await card(page, shown[0]!).waitFor()
  expect(await page.locator('.shell').getAttribute('data-connection')).not.toBe('live')
  expect(await titles(page, 'Backlog')).toEqual(shown)
  await page.context().close()
})

test('a server process that is killed is none to miss: the page goes on on the other', async () => {
  const page = await stage.enter('ada')
  await open(page, 'Ferry app')
  await connection(page, 'live')
  const board = await stage.board('Ferry app')
  await page.getByRole('button', { name: /^Connection/ }).click()
  const working = work(board, 60)
  await page.getByRole('button', { name: /^Kill server/ }).first().click()
  await working
  await connection(page, 'live')
  await isExact(page, board)
  await page.locator('[data-server][data-alive="false"]').waitFor({ state: 'detached', timeout: 30_000 })
  // It is said to be alive from the moment that it runs. Who comes next finds it ready.
  const killed = await page.locator('[data-server]', { hasText: /restarted 1×/ }).getAttribute('data-server')
  await eventually(async () => expect((await fetch(`http://${killed}/readyz`)).status).toBe(200))
  await page.context().close()
}, 120_000)

test('two tabs of one person share a socket, and the second goes on when the first is closed', async () => {
  const first = await stage.enter('ada')
  await open(first, 'Ferry app')
  await connection(first, 'live')
  const second = await first.context().newPage()
  let sockets = 0
  second.on('websocket', () => sockets++)
  await second.goto(first.url())
  await stage.signIn(second, 'ada')
  await connection(second, 'live')
  const board = await stage.board('Ferry app')
  await work(board, 3)
  await isExact(second, board)
  expect(sockets).toBe(0)
  await first.close()
  await eventually(() => expect(sockets).toBeGreaterThan(0))
  await work(board, 3)
  await connection(second, 'live')
  await isExact(second, board)
  await second.context().close()
})
