import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connection, lane } from './hand.js'
import { Stage } from './stage.js'

const CARDS = 5_000
const SCROLL_MS = 6_000

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
  /** What a frame costs the page's thread, in milliseconds of the processor: however busy the machine is beside. */
  cpu: number
}

/** Scrolls a column for some seconds while 20 changes a second come to its board. */
async function scroll(page: Page, board: string): Promise<Smoothness> {
  const client = await page.context().newCDPSession(page)
  await client.send('Performance.enable', { timeDomain: 'threadTicks' })
  const spent = async () => (await client.send('Performance.getMetrics')).metrics.find(({ name }) => name === 'TaskDuration')!.value * 1_000
  const before = await spent()
  const measured = page.evaluate(
    (ms) =>
      new Promise<Omit<Smoothness, 'cpu'>>((resolve) => {
        let blocked = 0
        new PerformanceObserver((list) => {
          for (const { duration } of list.getEntries()) blocked += duration
        }).observe({ type: 'longtask' })
        const frames: number[] = []
        const scroller = document.querySelector('.lane-scroll')!
        const began = performance.now()
        let last = began
        let step = 40
        const frame = (now: number) => {
          frames.push(now - last)
          last = now
          const at = scroller.scrollTop
          scroller.scrollTop += step
          if (scroller.scrollTop === at) step = -step
          if (now - began < ms) return void requestAnimationFrame(frame)
          const sorted = frames.slice(1).sort((a, b) => a - b)
          resolve({ frames: sorted.length, p95: sorted[Math.floor(sorted.length * 0.95)]!, longest: sorted.at(-1)!, blocked })
        }
        requestAnimationFrame(frame)
      }),
    SCROLL_MS,
  )
  let over = false
  void measured.then(() => (over = true))
  while (!over) {
    await stage.sql`update public.entries set title = title || '.', priority = (priority + 1) % 3 where id = (select id from public.entries where board_id = ${board} order by random() limit 1)`
    await page.waitForTimeout(50)
  }
  const smoothness = await measured
  return { ...smoothness, cpu: ((await spent()) - before) / smoothness.frames }
}

test(`a board of ${CARDS} cards scrolls and lives as smoothly as a small one`, async () => {
  const page = await stage.enter('ada', '/', { reducedMotion: 'reduce' })
  const visit = async (board: string) => {
    await page.goto(`${stage.url}/boards/${board}`)
    await connection(page, 'live')
    await lane(page, 'Backlog').locator('article[data-entry]').first().waitFor()
    return scroll(page, board)
  }
  const [small, large] = [await stage.board('Harbour sensors'), await stage.board('Ferry app')]
  const few = await visit(small)
  await stage.sql`insert into public.entries (board_id, title, body, state_id, position, priority, labels)
    select ${large}, 'Card ' || n, repeat('text ', 20), s.id, 'b' || lpad(n::text, 8, '0') || 'V', n % 3, case when n % 4 = 0 then array['label'] else '{}' end
    from generate_series(1, ${CARDS}::int) n
    join lateral (select id from public.workflow_states where board_id = ${large} order by ordinal offset n % 4 limit 1) s on true`
  const many = await visit(large)
  console.log(`scrolling, 20 changes a second: 17 cards ${JSON.stringify(few)}, ${CARDS} cards ${JSON.stringify(many)}`)
  // What a frame may cost that is to be there in time for the next one, 60 of them a second.
  expect(many.cpu).toBeLessThan(1_000 / 60)
  expect(await page.locator('article[data-entry]').count()).toBeLessThan(200)
})
