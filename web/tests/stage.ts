// What the browser's tests play on: `tidegate demo` with its people, and Chromium.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import postgres, { type Sql } from 'postgres'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'

const root = join(import.meta.dirname, '../..')
const program = process.env.TIDEGATE_PROGRAM ?? join(root, 'target/debug/tidegate')

/** Flags without which Chromium looks for hosts of its maker, and in a sandbox of its own needs rights that a container has not. */
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

/** Who is who at the demo's provider. */
export type Person = 'ada' | 'ben' | 'cleo' | 'dov'

export interface StageOptions {
  /** How many transactions a second the colleagues commit. */
  rate?: number
  /** Two servers with a journal in RabbitMQ. */
  rabbitmq?: boolean
  /** `false`: nobody signs in, and everybody sees everything. */
  login?: boolean
  /** How long an access token holds, in seconds. */
  tokenSeconds?: number
}

/** A demo that runs, and the browser that looks at it. */
export class Stage {
  url = ''
  /** Its database, for SQL. */
  database = ''
  said = ''
  readonly #scratch: string
  readonly #demo: ChildProcess
  #browser: Browser | undefined
  #sql: Sql | undefined

  private constructor(demo: ChildProcess, scratch: string) {
    this.#demo = demo
    this.#scratch = scratch
  }

  static async open({ rate = 0, rabbitmq = false, login = true, tokenSeconds = 300 }: StageOptions = {}): Promise<Stage> {
    const scratch = await mkdtemp(join(tmpdir(), 'tidegate-stage-'))
    const flags = ['--port', '0', '--rate', String(rate), '--folder', join(scratch, 'demo'), ...(login ? ['--login', '--token-seconds', String(tokenSeconds)] : []), ...(rabbitmq ? ['--rabbitmq'] : [])]
    // From the checkout: there are the page's build and the provider.
    const demo = spawn(program, ['demo', ...flags], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    const stage = new Stage(demo, scratch)
    await new Promise<void>((resolve, reject) => {
      const hear = (piece: Buffer) => {
        stage.said = (stage.said + piece.toString()).slice(-50_000)
        const url = /Tidegate is live:\s+(http:\/\/[^\s/]+)/.exec(stage.said)?.[1]
        const database = /Its database:\s+(postgres\S+)/.exec(stage.said)?.[1]
        if (!url || !database) return
        Object.assign(stage, { url, database })
        resolve()
      }
      demo.stdout.on('data', hear)
      demo.stderr.on('data', hear)
      demo.once('exit', (code) => reject(new Error(`the demo ended with ${code}:\n${stage.said}`)))
    })
    stage.#browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS })
    return stage
  }

  /** The database, past all policies. */
  get sql(): Sql {
    return (this.#sql ??= postgres(this.database, { max: 4, onnotice: () => {} }))
  }

  /** The number of a board. */
  async board(name: string): Promise<string> {
    const [row] = await this.sql<{ id: string }[]>`select id::text from public.boards where name = ${name}`
    return row!.id
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser?.close()
    await this.#sql?.end()
    const ended = once(this.#demo, 'exit')
    this.#demo.kill('SIGINT')
    await ended
    await rm(this.#scratch, { recursive: true, force: true })
  }

  /** A browser of its own, as of another person or machine. */
  async window(options: Parameters<Browser['newContext']>[0] = {}): Promise<BrowserContext> {
    return this.#browser!.newContext({ viewport: { width: 1440, height: 900 }, ...options })
  }

  /** A page on which `person` has signed in. */
  async enter(person: Person, path = '/', options: Parameters<Browser['newContext']>[0] = {}): Promise<Page> {
    const page = await (await this.window(options)).newPage()
    await page.goto(`${this.url}${path}`)
    await this.signIn(page, person)
    return page
  }

  async signIn(page: Page, person: Person): Promise<void> {
    await page.getByRole('button', { name: /sign in/i }).click()
    await page.locator(`button[name="sub"][value="${person}"]`).click()
    await page.waitForURL((url) => url.origin === new URL(this.url).origin && !url.searchParams.has('code'))
  }
}
