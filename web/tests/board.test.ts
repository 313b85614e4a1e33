import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { card, connection, drag, eventually, lane, open, titles } from './hand.js'
import { Stage } from './stage.js'

let stage: Stage
let ada: Page
let ben: Page

beforeAll(async () => {
  stage = await Stage.open()
  ada = await stage.enter('ada')
  ben = await stage.enter('ben')
  for (const page of [ada, ben]) {
    await open(page, 'Ferry app')
    await connection(page, 'live')
  }
})
afterAll(() => stage[Symbol.asyncDispose]())

const isIn = (page: Page, title: string, state: string) => eventually(async () => expect(await titles(page, state)).toContain(title))

/** The card that stands first. */
const first = async (state: string) => (await titles(ada, state))[0]!

test('a card that one drags with the mouse moves in the other’s window', async () => {
  const title = await first('Backlog')
  await drag(ada, title, 'In progress')
  await isIn(ada, title, 'In progress')
  await isIn(ben, title, 'In progress')
  await eventually(async () => expect(await card(ada, title).getAttribute('data-phase')).toBeNull())
  const [row] = await stage.sql<{ name: string }[]>`select s.name from public.entries e join public.workflow_states s on s.id = e.state_id where e.title = ${title}`
  expect(row!.name).toBe('In progress')
})

test('cards move by keyboard, and it is told what happens', async () => {
  const title = await first('In progress')
  await card(ben, title).getByRole('link').focus()
  await ben.keyboard.press('Space')
  await ben.waitForTimeout(200)
  await ben.keyboard.press('ArrowRight')
  await ben.waitForTimeout(200)
  await ben.keyboard.press('Space')
  await isIn(ben, title, 'Review')
  await isIn(ada, title, 'Review')
  expect(await ben.locator('[aria-live]').allTextContents()).toEqual(expect.arrayContaining([expect.stringContaining('Review')]))
})

test('by touch: a press lifts the card, a swipe scrolls', async () => {
  const page = await stage.enter('ada', '/', { hasTouch: true, viewport: { width: 1024, height: 768 } })
  await page.goto(`${stage.url}/boards/${await stage.board('Ferry app')}`)
  await connection(page, 'live')
  await lane(page, 'Backlog').locator('article[data-entry]').first().waitFor()
  const title = (await titles(page, 'Backlog'))[0]!
  const from = (await card(page, title).boundingBox())!
  const to = (await lane(page, 'In progress').boundingBox())!
  const client = await page.context().newCDPSession(page)
  const touch = (type: 'touchStart' | 'touchMove' | 'touchEnd', x: number, y: number) =>
    client.send('Input.dispatchTouchEvent', { type, touchPoints: type === 'touchEnd' ? [] : [{ x, y }] })
  await touch('touchStart', from.x + 40, from.y + 12)
  await page.waitForTimeout(350)
  for (let step = 1; step <= 10; step++) await touch('touchMove', from.x + 40 + ((to.x + 100 - from.x - 40) * step) / 10, from.y + 12 + ((to.y + 80 - from.y - 12) * step) / 10)
  await touch('touchEnd', 0, 0)
  await isIn(page, title, 'In progress')
  await isIn(ben, title, 'In progress')
  await page.context().close()
})

test('a move that is refused is taken back, with a word', async () => {
  await stage.sql`update public.workflow_states set wip_limit = (select count(*) from public.entries e where e.state_id = workflow_states.id) where board_id = ${await stage.board('Ferry app')} and name = 'Review'`
  const title = await first('Backlog')
  const before = await titles(ada, 'Backlog')
  await drag(ada, title, 'Review')
  await ada.getByText(/full|holds|limit/i).first().waitFor()
  await eventually(async () => expect(await titles(ada, 'Backlog')).toEqual(before))
  await stage.sql`update public.workflow_states set wip_limit = null where name = 'Review'`
})

test('a card opens by its address and by the keyboard, is changed, talked about, and closed again', async () => {
  const title = await first('Backlog')
  await card(ada, title).getByRole('link').focus()
  await ada.keyboard.press('Enter')
  const dialog = ada.getByRole('dialog')
  await dialog.waitFor()
  const address = ada.url()
  expect(address).toMatch(/\/entries\/\d+$/)
  const comment = dialog.getByRole('textbox', { name: /comment/i })
  await comment.fill('Looks good @ben')
  await comment.press('Control+Enter')
  await dialog.getByText('Looks good').first().waitFor()
  // Ben is told.
  await ben.getByRole('link', { name: /notifications.*1|1.*notification/i }).first().waitFor()
  await ada.keyboard.press('Escape')
  await dialog.waitFor({ state: 'detached' })
  await ben.goto(address)
  await ben.getByRole('dialog').getByText('Looks good').first().waitFor()
  await ben.keyboard.press('Escape')
})

test('what was done is told in the feed, live', async () => {
  await ben.getByRole('link', { name: 'Activity' }).first().click()
  await ben.getByRole('heading', { name: 'Activity', level: 1 }).waitFor()
  const title = await first('Review')
  await drag(ada, title, 'Done')
  await isIn(ada, title, 'Done')
  await eventually(async () => expect(await ben.getByRole('main').innerText()).toMatch(new RegExp(`${title}[\\s\\S]*Done`)))
  await ben.goBack()
})

test('who is no member any more sees the board leave', async () => {
  await ben.goto(`${stage.url}/boards/${await stage.board('Ferry app')}`)
  await card(ben, await first('Done')).waitFor()
  await stage.sql`delete from public.board_members where user_id = 'ben' and board_id = ${await stage.board('Ferry app')}`
  await ben.getByText(/no longer on/).waitFor()
  await ben.waitForURL(/\/boards$/)
  await eventually(async () => expect(await ben.getByRole('link', { name: 'Ferry app' }).count()).toBe(0))
})
