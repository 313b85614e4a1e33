// Takes the pictures of docs/screenshots: each view, light and dark, on a desk and on a phone. `npm run screenshots -w tests`

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'vitest'
import { connection, open } from './hand.js'
import { Stage } from './stage.js'

const folder = process.env.SCREENSHOTS ?? join(import.meta.dirname, '../../docs/screenshots')
const SIZES = { desk: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } }

test('screenshots', async () => {
  await mkdir(folder, { recursive: true })
  const stage = await Stage.open({ rate: 3 })
  try {
    for (const [size, viewport] of Object.entries(SIZES)) {
      for (const colorScheme of ['light', 'dark'] as const) {
        const context = await stage.window({ viewport, colorScheme, isMobile: size === 'phone', deviceScaleFactor: size === 'phone' ? 2 : 1 })
        const page = await context.newPage()
        const shoot = async (name: string) => {
          await page.waitForTimeout(1_500)
          await page.screenshot({ path: join(folder, `${name}-${size}-${colorScheme}.jpg`), type: 'jpeg', quality: 82 })
        }
        await page.goto(stage.url)
        await page.getByRole('button', { name: /sign in/i }).waitFor()
        await shoot('sign-in')
        await stage.signIn(page, 'ada')
        await page.goto(`${stage.url}/boards`)
        await connection(page, 'live')
        await shoot('boards')
        await open(page, 'Ferry app')
        await connection(page, 'live')
        await page.waitForTimeout(4_000)
        await shoot('board')
        if (size === 'desk') {
          await page.getByRole('button', { name: /^Connection/ }).click()
          await shoot('connection')
          await page.keyboard.press('Escape')
        }
        const board = await stage.board('Ferry app')
        const href = await page.locator('article[data-entry] a').nth(3).getAttribute('href')
        for (const [name, path] of Object.entries({ card: href!, settings: `/boards/${board}/settings`, activity: '/activity', dashboard: `/dashboard/${board}`, measure: `/dashboard/${board}/open`, notifications: '/notifications', me: '/me' })) {
          await page.goto(`${stage.url}${path}`)
          await connection(page, 'live')
          await shoot(name)
        }
        await context.close()
      }
    }
  } finally {
    await stage[Symbol.asyncDispose]()
  }
}, 600_000)
