// A browser: pages of one origin, each in a thread of its own, with what they share.

import { join } from 'node:path'
import { MessageChannel, Worker } from 'node:worker_threads'
import { build } from 'esbuild'
import { Locks, serveLocks } from './locks.js'
import type { Asked, Look, Page } from './tab.js'

let scopes = 0

export class Browser {
  readonly scope = `test-${process.pid}-${++scopes}`
  readonly #locks = new Locks()
  readonly #tabs: Tab[] = []

  private constructor(private readonly code: string) {}

  static async start(): Promise<Browser> {
    const { outputFiles } = await build({ entryPoints: [join(import.meta.dirname, 'tab.ts')], bundle: true, platform: 'node', format: 'cjs', target: 'node20', write: false, logLevel: 'error' })
    return new Browser(outputFiles[0]!.text)
  }

  open(page: Omit<Page, 'scope'>): Tab {
    const { port1, port2 } = new MessageChannel()
    const worker = new Worker(this.code, { eval: true, workerData: { page: { ...page, scope: this.scope }, port: port2 }, transferList: [port2] })
    serveLocks(this.#locks, worker, port1)
    const tab = new Tab(worker, () => {
      this.#locks.died(worker)
      port1.close()
    })
    this.#tabs.push(tab)
    return tab
  }

  /** Ends all pages, and waits for that. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#tabs.map((tab) => tab.die()))
  }
}

export class Tab {
  readonly #answers = new Map<number, { resolve(answer: never): void; reject(error: Error): void }>()
  #ids = 0
  #isOver = false
  /** Resolves when the page's thread stands still, as it was told to. */
  readonly stopped: Promise<void>

  constructor(
    private readonly worker: Worker,
    died: () => void,
  ) {
    let stopped = () => {}
    this.stopped = new Promise((resolve) => (stopped = resolve))
    worker.on('message', (said: { id?: number; answer?: never; failed?: string; stopped?: true }) => {
      if (said.stopped) return stopped()
      const answer = this.#answers.get(said.id!)
      this.#answers.delete(said.id!)
      if (said.failed === undefined) answer?.resolve(said.answer as never)
      else answer?.reject(new Error(said.failed))
    })
    worker.on('error', (error) => console.error('a page failed:', error))
    worker.once('exit', () => {
      this.#isOver = true
      died()
      for (const { reject } of this.#answers.values()) reject(new Error('the page is gone'))
    })
  }

  look(): Promise<Look> {
    return this.#ask({ op: 'look' })
  }

  /** Waits until everything up to `lsn` has come. */
  seen(lsn: string, timeoutMs = 20_000): Promise<void> {
    return this.#ask({ op: 'seen', lsn, timeoutMs })
  }

  show(what: string): Promise<void> {
    return this.#ask({ op: 'show', what })
  }

  /** Its thread stands still. Resolves when that has begun. */
  freeze(ms: number): Promise<void> {
    return this.#ask({ op: 'freeze', ms })
  }

  wake(): Promise<void> {
    return this.#ask({ op: 'wake' })
  }

  /** It says good-bye. */
  close(): Promise<void> {
    return this.#ask({ op: 'close' })
  }

  /** It is gone, without a word. */
  async die(): Promise<void> {
    if (!this.#isOver) await this.worker.terminate()
  }

  #ask<T>(asked: Asked): Promise<T> {
    const id = ++this.#ids
    return new Promise((resolve, reject) => {
      this.#answers.set(id, { resolve, reject })
      this.worker.postMessage({ ...asked, id })
    })
  }
}
