import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { card, connection, eventually, open, titles } from './hand.js'
import { Stage } from './stage.js'

let stage: Stage

beforeAll(async () => {
  stage = await Stage.open({ rabbitmq: true, tokenSeconds: 12 })
})
afterAll(() => stage[Symbol.asyncDispose]())

/** What the page shows of a board is what the database has. */
async function isExact(page: Page, board: string): Promise<void> {
  await eventually(async () => {
    for (const { id, name } of await stage.sql<{ id: string; name: string }[]>`select id::text, name from public.workflow_states where board_id = ${board}`) {
      const rows = await stage.sql<{ title: string }[]>`select title from public.entries where state_id = ${id} order by position limit 5`
      expect((await titles(page, name)).slice(0, 5)).toEqual(rows.map(({ title }) => title))
    }
  })
}

/** Others work: cards come, move, and go. */
async function work(board: string, changes: number): Promise<void> {
  const { sql } = stage
  for (let n = 0; n < changes; n++) {
    // Each at its state's end: a place of the same length for any number of them.
    await sql`insert into public.entries (board_id, title, state_id, position)
      select ${board}, ${`Meanwhile ${n} ${Math.random()}`}, s.id, 'z' || to_char(clock_timestamp(), 'YYYYMMDDHH24MISSUS') || 'V'
      from public.workflow_states s where s.board_id = ${board} order by random() limit 1`
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
  await page.getByText(/restarted 1×/).waitFor()
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
  if (await second.getByRole('button', { name: 'Sign in' }).isVisible()) await stage.signIn(second, 'ada')
  await connection(second, 'live')
  const board = await stage.board('Ferry app')
  await work(board, 3)
  await isExact(second, board)
  expect(sockets).toBe(0)
  await first.close()
  await work(board, 3)
  await connection(second, 'live')
  await isExact(second, board)
  expect(sockets).toBeGreaterThan(0)
  await second.context().close()
})
