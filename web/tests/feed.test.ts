import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connection, eventually } from './hand.js'
import { Stage } from './stage.js'

let stage: Stage

beforeAll(async () => {
  stage = await Stage.open()
})
afterAll(() => stage[Symbol.asyncDispose]())

const shown = (page: Page) => page.locator('[data-activity]').evaluateAll((elements) => elements.map((element) => element.getAttribute('data-activity')!))

/** So many happenings, the last just now. */
const happen = (board: string, count: number) =>
  stage.sql`insert into public.activities (board_id, at, actor_id, subject, action, detail)
    select ${board}, clock_timestamp() - (${count} - n) * interval '1 second', 'ben', 'board', 'renamed', jsonb_build_object('name', 'Name ' || n)
    from generate_series(1, ${count}::int) n`

test('the feed is paged backwards to its end, lives on meanwhile, and leaves nothing out', async () => {
  const board = await stage.board('Ferry app')
  await happen(board, 300)
  const page = await stage.enter('ada', '/activity')
  await connection(page, 'live')
  await page.locator('[data-activity]').first().waitFor()
  const all = async () => (await stage.sql<{ id: string }[]>`select a.id::text from public.activities a join public.board_members m on m.board_id = a.board_id and m.user_id = 'ada' order by a.at desc, a.id desc`).map(({ id }) => id)
  const scrollToTheEnd = () =>
    eventually(async () => {
      await page.evaluate(() => {
        for (const element of [document.scrollingElement!, ...document.querySelectorAll('main, main *')]) element.scrollTop = element.scrollHeight
      })
      expect((await shown(page)).length).toBe((await all()).length)
    }, 60_000)
  await scrollToTheEnd()
  expect(await shown(page)).toEqual(await all())
  // More than the newest ones that are held: those who lose their place there join the older ones.
  await happen(board, 200)
  await eventually(async () => expect(await shown(page)).toEqual(await all()))
  // Back from another view it begins anew, without a hole.
  await page.getByRole('link', { name: 'Dashboard' }).first().click()
  await page.getByRole('heading', { name: 'Dashboard', level: 1 }).waitFor()
  await page.goBack()
  await page.locator('[data-activity]').first().waitFor()
  await scrollToTheEnd()
  expect(await shown(page)).toEqual(await all())
})
