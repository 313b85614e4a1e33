import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connection, eventually } from './hand.js'
import { Stage } from './stage.js'

let stage: Stage

beforeAll(async () => {
  stage = await Stage.open()
})
afterAll(() => stage[Symbol.asyncDispose]())

/** What a list tells from its top to its end, which is read on by scrolling; and how much of it was on the page at most. */
async function readAll(page: Page, name: string, around = '.content'): Promise<{ ids: string[]; most: number }> {
  return page.locator(around).evaluate(async (scroller, name) => {
    const drawn = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))
    const ids = new Set<string>()
    let most = 0
    scroller.scrollTop = 0
    for (let until = performance.now() + 60_000; performance.now() < until; scroller.scrollTop += scroller.clientHeight / 2) {
      await drawn()
      const shown = [...scroller.querySelectorAll(`[${name}]`)].map((element) => ({ top: element.getBoundingClientRect().top, id: element.getAttribute(name)! }))
      for (const { id } of shown.sort((a, b) => a.top - b.top)) ids.add(id)
      most = Math.max(most, shown.length)
      if (!scroller.querySelector('.more') && scroller.scrollTop + scroller.clientHeight >= scroller.scrollHeight - 1) break
    }
    return { ids: [...ids], most }
  }, name)
}

/** So many happenings, the last just now, each so many seconds behind the other. */
const happen = (board: string, count: number, apart = 1) =>
  stage.sql`insert into public.activities (board_id, at, actor_id, subject, action, detail)
    select ${board}, clock_timestamp() - (${count} - n) * ${apart} * interval '1 second', 'ben', 'board', 'renamed', jsonb_build_object('name', 'Name ' || n)
    from generate_series(1, ${count}::int) n`

const all = async () =>
  (await stage.sql<{ id: string }[]>`select a.id::text from public.activities a join public.board_members m on m.board_id = a.board_id and m.user_id = 'ada' order by a.at desc, a.id desc`).map(({ id }) => id)

test('the feed is paged backwards to its end, lives on meanwhile, and leaves nothing out', async () => {
  const board = await stage.board('Ferry app')
  await happen(board, 300)
  const page = await stage.enter('ada', '/activity')
  await connection(page, 'live')
  await page.locator('[data-activity]').first().waitFor()
  const { ids, most } = await readAll(page, 'data-activity')
  expect(ids).toEqual(await all())
  // However much it is, what is on the page is what can be seen, and a little around it.
  expect(ids.length).toBeGreaterThan(300)
  expect(most).toBeLessThan(100)
  // More than the newest ones that are held: those who lose their place there join the older ones.
  await happen(board, 200)
  await eventually(async () => expect((await readAll(page, 'data-activity')).ids).toEqual(await all()), 60_000)
  // Back from another view it begins anew, without a hole.
  await page.getByRole('link', { name: 'Dashboard' }).first().click()
  await page.getByRole('heading', { name: 'Dashboard', level: 1 }).waitFor()
  await page.goBack()
  await page.locator('[data-activity]').first().waitFor()
  expect((await readAll(page, 'data-activity')).ids).toEqual(await all())
  await page.context().close()
})

test('what one reads farther down stays where it is, and who has the focus keeps it', async () => {
  const page = await stage.enter('ada', '/activity')
  await connection(page, 'live')
  await page.locator('[data-activity]').first().waitFor()
  await page.locator('.burst').first().focus()
  await eventually(async () => expect(await page.locator('.content').evaluate((scroller) => (scroller.scrollTop = 1_000) && scroller.scrollTop)).toBe(1_000))
  // The middle of what is in sight.
  const place = () =>
    page.locator('[data-activity]').evaluateAll((elements) => {
      const places = elements.map((element) => ({ id: element.getAttribute('data-activity')!, top: element.getBoundingClientRect().top }))
      return places.filter(({ top }) => top > 300).sort((a, b) => a.top - b.top)[0]!
    })
  await page.waitForTimeout(500)
  const read = await place()
  const length = () => page.locator('.feed').evaluate((feed) => feed.clientHeight)
  const before = await length()
  await happen(await stage.board('Ferry app'), 20, 0)
  await eventually(async () => expect(await length()).toBeGreaterThan(before + 200))
  await page.waitForTimeout(500)
  const now = (await page.locator(`[data-activity="${read.id}"]`).boundingBox())!
  expect(Math.abs(now.y - read.top)).toBeLessThan(3)
  expect(await page.evaluate(() => document.activeElement?.className)).toBe('burst')
  await page.context().close()
})

test('the history of a card goes back to its beginning', async () => {
  const board = await stage.board('Ferry app')
  const [card] = await stage.sql<{ id: string }[]>`select id::text from public.entries where board_id = ${board} order by id limit 1`
  await stage.sql`insert into public.activities (board_id, at, actor_id, subject, action, entry_id, detail)
    select ${board}, clock_timestamp() - n * interval '1 minute', 'ben', 'entry', 'moved', ${card!.id}, '{"title": "It", "top": true, "to": "Backlog"}'
    from generate_series(1, 130) n`
  const page = await stage.enter('ada', `/boards/${board}/entries/${card!.id}`)
  await page.getByRole('tab', { name: 'History' }).click()
  await page.locator('[data-detail] [data-activity]').first().waitFor()
  const rows = await stage.sql<{ id: string }[]>`select id::text from public.activities where entry_id = ${card!.id} order by at desc, id desc`
  expect((await readAll(page, 'data-activity', '.dialog-body')).ids).toEqual(rows.map(({ id }) => id))
  await page.context().close()
})

test('notifications go back to the first, and what is done to old ones shows', async () => {
  const board = await stage.board('Ferry app')
  await stage.sql`insert into public.notifications (user_id, board_id, kind, about, detail, created_at)
    select 'ada', ${board}, 'mention', 'test ' || n, '{"actor_id": "ben"}', clock_timestamp() - n * interval '1 minute'
    from generate_series(1, 330) n`
  const page = await stage.enter('ada', '/notifications')
  await connection(page, 'live')
  await page.locator('[data-notification]').first().waitFor()
  const told = async () => (await stage.sql<{ id: string }[]>`select id::text from public.notifications where user_id = 'ada' order by created_at desc, id desc`).map(({ id }) => id)
  expect((await readAll(page, 'data-notification')).ids).toEqual(await told())
  // The oldest, which came by a page: it is read, and the one before it is deleted.
  const [last, other] = (await told()).reverse()
  await page.locator(`[data-notification="${last}"]`).getByRole('button', { name: 'Mark read' }).click()
  await page.locator(`[data-notification="${last}"]:not([data-unread])`).waitFor()
  await page.locator(`[data-notification="${other}"]`).getByRole('button', { name: 'Delete' }).click()
  await page.locator(`[data-notification="${other}"]`).waitFor({ state: 'detached' })
  expect((await readAll(page, 'data-notification')).ids).toEqual(await told())
  await page.context().close()
})
