import { afterAll, beforeAll, expect, test } from 'vitest'
import { connection, lane } from './hand.js'
import { Stage } from './stage.js'

const CARDS = 5_000

let stage: Stage

beforeAll(async () => {
  stage = await Stage.open()
})
afterAll(() => stage[Symbol.asyncDispose]())

interface Smoothness {
  frames: number
  /** The 95th of 100 frames, and the longest, in milliseconds. */
  p95: number
  longest: number
  /** How long tasks of more than 50 ms took together. */
  blocked: number
}

test(`a board of ${CARDS} cards scrolls and lives smoothly`, async () => {
  const board = await stage.board('Ferry app')
  await stage.sql`insert into public.entries (board_id, title, body, state_id, position, priority, labels)
    select ${board}, 'Card ' || n, repeat('text ', 20), s.id, 'b' || lpad(n::text, 8, '0') || 'V', n % 3, case when n % 4 = 0 then array['label'] else '{}' end
    from generate_series(1, ${CARDS}::int) n
    join lateral (select id from public.workflow_states where board_id = ${board} order by ordinal offset n % 4 limit 1) s on true`
  const page = await stage.enter('ada', `/boards/${board}`)
  await connection(page, 'live')
  await page.locator('article[data-entry]').first().waitFor()
  expect(await page.locator('article[data-entry]').count()).toBeLessThan(200)

  const measured = page.evaluate(
    () =>
      new Promise<Smoothness>((resolve) => {
        let blocked = 0
        new PerformanceObserver((list) => {
          for (const { duration } of list.getEntries()) blocked += duration
        }).observe({ type: 'longtask' })
        const frames: number[] = []
        const scroller = document.querySelector('.lane-scroll')!
        const began = performance.now()
        let last = began
        const frame = (now: number) => {
          frames.push(now - last)
          last = now
          scroller.scrollTop += 40
          if (now - began < 6_000) return void requestAnimationFrame(frame)
          const sorted = frames.slice(1).sort((a, b) => a - b)
          resolve({ frames: sorted.length, p95: sorted[Math.floor(sorted.length * 0.95)]!, longest: sorted.at(-1)!, blocked })
        }
        requestAnimationFrame(frame)
      }),
  )
  // 20 changes a second beside it.
  for (let n = 0; n < 100; n++) {
    await stage.sql`update public.entries set title = title || '.', priority = (priority + 1) % 3 where id = (select id from public.entries where board_id = ${board} order by random() limit 1)`
    await page.waitForTimeout(40)
  }
  const smoothness = await measured
  console.log(`${CARDS} cards, 20 changes a second, scrolling: ${JSON.stringify(smoothness)}`)
  expect(smoothness.p95).toBeLessThan(50)
  expect(smoothness.blocked).toBeLessThan(1_500)
  expect(await lane(page, 'Backlog').locator('article[data-entry]').count()).toBeLessThan(60)
})
