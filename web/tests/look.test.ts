import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connection, open } from './hand.js'
import { Stage } from './stage.js'

let stage: Stage
let axe: string

beforeAll(async () => {
  stage = await Stage.open()
  axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
})
afterAll(() => stage[Symbol.asyncDispose]())

/** What a screen reader, a keyboard or weak eyes would stumble over. */
async function faults(page: Page, view: string): Promise<string[]> {
  // The page's policy lets no script in but its own; the debugger is not the page.
  await page.evaluate(axe)
  const { violations } = await page.evaluate(() => (window as unknown as { axe: { run(): Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }> } }).axe.run())
  return violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').map(({ id, nodes }) => `${view}: ${id}: ${nodes.map(({ html }) => html.slice(0, 160)).join(' | ')}`)
}

for (const colorScheme of ['light', 'dark'] as const) {
  for (const viewport of [{ width: 1440, height: 900 }, { width: 390, height: 844 }]) {
    test(`nothing serious for axe: ${colorScheme}, ${viewport.width} px`, async () => {
      const found: string[] = []
      const policy: string[] = []
      const context = await stage.window({ colorScheme, viewport, reducedMotion: 'reduce' })
      const page = await context.newPage()
      page.on('console', (message) => {
        if (/Content Security Policy|Refused to/.test(message.text())) policy.push(message.text())
      })
      await page.goto(stage.url)
      await page.getByRole('button', { name: /sign in/i }).waitFor()
      found.push(...(await faults(page, 'sign-in')))
      await stage.signIn(page, 'ada')
      const board = await stage.board('Ferry app')
      await page.goto(`${stage.url}/boards`)
      await open(page, 'Ferry app')
      await connection(page, 'live')
      found.push(...(await faults(page, 'board')))
      await page.locator('article[data-entry] a').first().click()
      await page.getByRole('dialog').waitFor()
      await page.waitForTimeout(800)
      found.push(...(await faults(page, 'card')))
      for (const path of ['/boards', `/boards/${board}/settings`, '/activity', `/dashboard/${board}`, `/dashboard/${board}/open`, '/notifications', '/me']) {
        await page.goto(`${stage.url}${path}`)
        await connection(page, 'live')
        await page.waitForTimeout(1_000)
        found.push(...(await faults(page, path)))
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
        if (wide > 0) found.push(`${path}: ${wide} px wider than the screen`)
      }
      expect(found).toEqual([])
      expect(policy).toEqual([])
      await context.close()
    })
  }
}
