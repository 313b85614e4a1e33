import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connection, eventually } from './hand.js'
import { Stage } from './stage.js'

let stage: Stage
let page: Page
let board: string

beforeAll(async () => {
  stage = await Stage.open()
  board = await stage.board('Ferry app')
  // Figures that do not count up to what they are say at once what they are.
  page = await stage.enter('ada', '/', { reducedMotion: 'reduce' })
})
afterAll(() => stage[Symbol.asyncDispose]())

const tile = (kpi: string) => page.locator(`article[data-kpi="${kpi}"]`)
const figure = (kpi: string) => tile(kpi).locator('.count')

async function lookAt(path: string): Promise<void> {
  await page.goto(`${stage.url}${path}`)
  await connection(page, 'live')
}

/** When the figure comes to say so, in milliseconds since 1970. */
const told = (kpi: string, text: string): Promise<number> =>
  figure(kpi).evaluate(
    (element, text) =>
      new Promise<number>((resolve, reject) => {
        const look = () => {
          if (element.textContent === text) resolve(performance.timeOrigin + performance.now())
        }
        new MutationObserver(look).observe(element, { childList: true, characterData: true, subtree: true })
        setTimeout(() => reject(new Error(`it says ${element.textContent}, not ${text}`)), 20_000)
      }),
    text,
  )

test('a tile moves within a second of the commit that moves it', async () => {
  await lookAt(`/dashboard/${board}`)
  const open = async () => {
    const [row] = await stage.sql<{ count: number }[]>`select count(*)::integer as count from public.entries where board_id = ${board} and closed_at is null`
    return row!.count
  }
  await eventually(async () => expect(await figure('open').textContent()).toBe(String(await open())))
  const delays: number[] = []
  for (let turn = 0; turn < 5; turn++) {
    const moved = told('open', String((await open()) + 1))
    // Never at the same place of anybody's interval.
    await page.waitForTimeout(700 + turn * 130)
    const before = performance.timeOrigin + performance.now()
    await stage.sql`insert into public.entries (board_id, title, state_id, position)
      select ${board}, ${`Late arrival ${turn}`}, id, ${`b${turn}V`} from public.workflow_states where board_id = ${board} order by ordinal limit 1`
    delays.push((await moved) - before)
  }
  const median = delays.sort((a, b) => a - b)[2]!
  console.log(`from before the commit to the tile, ms: ${delays.map(Math.round).join(', ')}`)
  expect(median).toBeLessThan(1_000)
})

test('the charts follow', async () => {
  const finished = page.locator('[data-chart="states"] li', { hasText: 'Done' }).locator('.count')
  const before = Number(await finished.textContent())
  await stage.sql`update public.entries set state_id = (select id from public.workflow_states where board_id = ${board} and kind = 'done') where board_id = ${board} and title = 'Late arrival 0'`
  await eventually(async () => expect(await finished.textContent()).toBe(String(before + 1)))
})

test('a chart that could not be had is asked for again while the line stays up', async () => {
  const pattern = '**/v1/charts/created?*'
  let refused = 0
  await page.route(pattern, (route) => {
    refused += 1
    return route.fulfill({ status: 500, contentType: 'application/problem+json', body: '{"code":"internal"}' })
  })
  await lookAt(`/dashboard/${board}`)
  const chart = page.locator('[data-chart="created"]')
  await chart.getByText('Not there right now').waitFor()
  // More often than the line comes up, or the board is counted.
  await eventually(() => expect(refused).toBeGreaterThan(4), 30_000)
  await page.unroute(pattern)
  await chart.locator('canvas').waitFor()
  expect(await chart.getByText('Not there right now').count()).toBe(0)
})

test('spans and shares are shown of one board, and sums of several', async () => {
  await lookAt(`/dashboard/${board}`)
  await tile('lead_time_p50').waitFor()
  expect(await figure('lead_time_p50').textContent()).toMatch(/^[\d.,]+ (s|min|h|d)$/)
  await page.getByRole('combobox', { name: 'Board' }).selectOption({ label: 'All boards' })
  await tile('lead_time_p50').waitFor({ state: 'detached' })
  const [row] = await stage.sql<{ sum: number }[]>`select sum(v.value) as sum from public.kpi_values v join public.board_members m on m.board_id = v.board_id and m.user_id = 'ada' where v.kpi = 'open' and v.item = ''`
  await eventually(async () => expect(await figure('open').textContent()).toBe(String(row!.sum)))
  expect(await page.locator('[data-chart="flow"]').count()).toBe(0)
})

test('by the keyboard one goes from a tile to the past of its measure, and back', async () => {
  await lookAt(`/dashboard/${board}`)
  await tile('open').waitFor()
  await page.getByRole('combobox', { name: 'Board' }).focus()
  await page.keyboard.press('Tab')
  expect(await tile('open').getByRole('link').evaluate((link) => link === document.activeElement)).toBe(true)
  await page.keyboard.press('Enter')
  await page.waitForURL(`${stage.url}/dashboard/${board}/open`)
  await page.getByRole('heading', { name: 'Open', level: 1 }).waitFor()
  await page.keyboard.press('Shift+Tab')
  await page.keyboard.press('Enter')
  await page.waitForURL(`${stage.url}/dashboard/${board}`)
  await page.getByRole('heading', { name: 'Dashboard', level: 1 }).waitFor()
})

test('an alert about a span is set in hours, and told as a span', async () => {
  await lookAt('/me')
  await page.getByRole('combobox', { name: 'Measure' }).selectOption({ label: 'Lead time, 85 %' })
  await page.getByRole('combobox', { name: 'Board' }).selectOption({ label: 'Ferry app' })
  await page.getByRole('spinbutton', { name: 'Threshold in hours' }).fill('36')
  await page.getByRole('button', { name: 'Add', exact: true }).click()
  await page.getByText('Lead time, 85 % above 1.5 d').waitFor()
  const [rule] = await stage.sql<{ threshold: number }[]>`select threshold from public.alert_rules where user_id = 'ada' and kpi = 'lead_time_p85' and board_id = ${board}`
  expect(rule!.threshold).toBe(36 * 3_600)
})

/** What was told of the open cards some minutes ago. */
const tell = (minutes: number, value: number) =>
  stage.sql`insert into analytics.kpi_values_raw (board_id, kpi, item, at, value, least, most, samples)
    values (${board}, 'open', '', date_trunc('minute', now()) - ${minutes} * interval '1 minute', ${value}, ${value}, ${value}, 1)
    on conflict (board_id, kpi, item, at) do update set value = excluded.value`

test('the past of a measure ends with what it is now', async () => {
  await stage.sql`select analytics.prepare('kpi_values_raw', now() - interval '1 day', now())`
  await tell(120, 3)
  await lookAt(`/dashboard/${board}/open`)
  await page.getByText('Day', { exact: true }).click()
  const [now, last] = [page.locator('.measure-now .count'), page.locator('.legend-value')]
  const before = Number(await now.textContent())
  expect(before).not.toBe(3)
  await eventually(async () => expect(await last.textContent()).toBe(String(before)))
  await stage.sql`insert into public.entries (board_id, title, state_id, position)
    select ${board}, 'One more', id, 'c0V' from public.workflow_states where board_id = ${board} order by ordinal limit 1`
  await eventually(async () => expect(await now.textContent()).toBe(String(before + 1)))
  expect(await last.textContent()).toBe(String(before + 1))
})

test('what is told by the minute is read anew each minute, and what is looked at nearer stays', async () => {
  const own = await stage.enter('ada', '/', { reducedMotion: 'reduce' })
  await own.clock.install()
  await own.goto(`${stage.url}/dashboard/${board}/open`)
  await own.getByText('Day', { exact: true }).click()
  await own.getByRole('button', { name: 'Zoom in' }).click()
  await tell(60, 777)
  const again = own.waitForResponse((response) => response.url().includes('resolution=raw'))
  await own.clock.fastForward(75_000)
  await again
  expect(await own.getByRole('button', { name: 'Zoom out' }).isEnabled()).toBe(true)
  await own.getByRole('button', { name: 'Table' }).click()
  await own.getByRole('cell', { name: '777' }).waitFor()
  expect(await own.locator('tbody tr').first().textContent()).toMatch(/^Now/)
  await own.context().close()
})

const HOURS = 365 * 24

/** A year of hours, each with a value of its own. */
async function fillTheYear(): Promise<void> {
  await stage.sql`select analytics.prepare('kpi_values_hour', now() - interval '370 days', now())`
  await stage.sql`insert into analytics.kpi_values_hour (board_id, kpi, item, at, value, least, most, samples)
    select ${board}, 'open', '', date_trunc('hour', now()) - hour * interval '1 hour', value, value, value, 1
    from generate_series(0, ${HOURS + 24}) as hour
    cross join lateral (select 20 + round(9 * sin(hour / 300.0) + 6 * sin(hour * 7.3))) as wave (value)
    on conflict do nothing`
}

test(`a year of ${HOURS} hours is zoomed, moved and read smoothly`, async () => {
  await fillTheYear()
  await lookAt(`/dashboard/${board}/open`)
  // The page begins with a week, whose answer may be on its way still.
  const isOfAYear = (query: URLSearchParams) => query.get('resolution') === 'hour' && Date.parse(query.get('to')!) - Date.parse(query.get('from')!) > (HOURS - 1) * 3_600_000
  const answered = page.waitForResponse((response) => response.url().includes('/series?') && isOfAYear(new URL(response.url()).searchParams))
  await page.getByText('Year', { exact: true }).click()
  const { series } = (await (await answered).json()) as { series: { points: unknown[] }[] }
  expect(Math.abs(series[0]!.points.length - HOURS)).toBeLessThan(3)
  const plot = page.locator('.plot-past .u-over')
  await plot.waitFor()
  await page.waitForTimeout(500)
  const { x, y, width, height } = (await plot.boundingBox())!
  const moment = page.locator('.legend-moment')
  const [atRest, zoomOut] = [await moment.textContent(), page.getByRole('button', { name: 'Zoom out' })]
  expect(await zoomOut.isDisabled()).toBe(true)

  const client = await page.context().newCDPSession(page)
  await client.send('Performance.enable', { timeDomain: 'threadTicks' })
  const spent = async () => (await client.send('Performance.getMetrics')).metrics.find(({ name }) => name === 'TaskDuration')!.value * 1_000
  const frames = () => page.evaluate(() => ((window as unknown as { drawn: number }).drawn ?? 0))
  await page.evaluate(() => {
    const counted = window as unknown as { drawn: number }
    counted.drawn = 0
    const count = () => {
      counted.drawn += 1
      requestAnimationFrame(count)
    }
    requestAnimationFrame(count)
  })
  const costs: Record<string, number> = {}
  const during = async (name: string, act: () => Promise<void>) => {
    const before = [await spent(), await frames()] as const
    await act()
    costs[name] = ((await spent()) - before[0]) / Math.max(1, (await frames()) - before[1])
  }
  await during('hover', async () => {
    for (let step = 0; step < 120; step++) await page.mouse.move(x + (width * (step % 60)) / 60, y + height / 2)
  })
  expect(await moment.textContent()).not.toBe(atRest)
  await during('zoom', async () => {
    for (let step = 0; step < 60; step++) {
      await page.mouse.wheel(0, step % 20 < 10 ? -60 : 60)
      await page.waitForTimeout(16)
    }
    await page.mouse.wheel(0, -200)
  })
  await eventually(async () => expect(await zoomOut.isDisabled()).toBe(false))
  await during('move', async () => {
    await page.mouse.move(x + width / 2, y + height / 2)
    await page.mouse.down()
    for (let step = 0; step < 90; step++) await page.mouse.move(x + width / 2 + 200 * Math.sin(step / 10), y + height / 2)
    await page.mouse.up()
  })
  console.log(`a frame of ${HOURS} hours costs, ms: ${Object.entries(costs).map(([name, cost]) => `${name} ${cost.toFixed(1)}`).join(', ')}`)
  // What a frame may cost that is to be there in time for the next one, 60 of them a second.
  for (const cost of Object.values(costs)) expect(cost).toBeLessThan(1_000 / 60)
  await page.getByRole('button', { name: 'All of it' }).click()
  await eventually(async () => expect(await zoomOut.isDisabled()).toBe(true))
})
