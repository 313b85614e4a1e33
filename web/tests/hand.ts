// What a hand does on a board, and what an eye sees there.

import type { Locator, Page } from 'playwright-core'
import { expect } from 'vitest'

export const card = (page: Page, title: string): Locator => page.locator('article[data-entry]', { has: page.getByRole('heading', { name: title, exact: true }) })

export const lane = (page: Page, name: string): Locator => page.locator('section.lane', { has: page.getByRole('heading', { name, exact: true, level: 2 }) })

/** The titles in a column from top to bottom, as far as they are on the page. */
export async function titles(page: Page, state: string): Promise<string[]> {
  const cards = lane(page, state).locator('article[data-entry]')
  return cards.evaluateAll((elements) =>
    elements
      .map((element) => ({ top: element.getBoundingClientRect().top, title: element.querySelector('h3')?.textContent ?? '' }))
      .sort((a, b) => a.top - b.top)
      .map(({ title }) => title),
  )
}

/** The titles of a column, all of them: it is scrolled from its top to its end, since only what is in sight is on the page. */
export async function allTitles(page: Page, state: string): Promise<string[]> {
  return lane(page, state).evaluate(async (lane) => {
    const scroller = lane.querySelector('.lane-scroll')!
    const drawn = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))
    const found: string[] = []
    for (let top = 0; ; top += scroller.clientHeight / 2) {
      scroller.scrollTop = top
      await drawn()
      for (const place of lane.querySelectorAll('li[aria-posinset]')) found[Number(place.getAttribute('aria-posinset')) - 1] = place.querySelector('h3')?.textContent ?? ''
      if (top + scroller.clientHeight >= scroller.scrollHeight) break
    }
    scroller.scrollTop = 0
    // Holes stay what they are, also as JSON.
    return Array.from(found, (title) => title ?? '')
  })
}

/** Waits until the line is as it should be. */
export const connection = (page: Page, state: string, timeout = 30_000): Promise<void> => page.locator(`.shell[data-connection="${state}"]`).waitFor({ timeout })

/** Goes to a board by its name, from wherever it is. */
export async function open(page: Page, board: string): Promise<void> {
  await page.getByRole('link', { name: board }).first().click()
  await page.getByRole('heading', { name: board, level: 1 }).waitFor()
  await page.locator('article[data-entry]').first().waitFor()
}

/** Drags a card with the mouse to the top of a column. */
export async function drag(page: Page, title: string, state: string): Promise<void> {
  const from = await box(card(page, title))
  const to = await box(lane(page, state))
  await page.mouse.move(from.x + 40, from.y + 12)
  await page.mouse.down()
  await page.mouse.move(from.x + 50, from.y + 20, { steps: 4 })
  await page.mouse.move(to.x + to.width / 2, to.y + 80, { steps: 12 })
  await page.mouse.up()
}

async function box(locator: Locator): Promise<{ x: number; y: number; width: number; height: number }> {
  const found = await locator.boundingBox()
  expect(found, 'it is on the screen').not.toBeNull()
  return found!
}

/** Looks again and again until it holds. */
export async function eventually(holds: () => Promise<void> | void, within = 20_000): Promise<void> {
  const until = Date.now() + within
  for (;;) {
    try {
      return await holds()
    } catch (error) {
      if (Date.now() > until) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}
