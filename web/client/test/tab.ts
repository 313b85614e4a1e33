// A page in a worker: its thread can be frozen, and it can die without a word. `browser.ts` opens it and asks it.

import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import WebSocket from 'ws'
import { type Connect, type Rows, type Status, Tidegate } from '../src/index.js'
import { tabs } from '../src/tabs.js'
import { locksOver } from './locks.js'

/** How a tab is opened. */
export interface Page {
  scope: string
  /** Of servers, as the client is given them. */
  addresses: string[]
  /** The tables, or `table where …`, that it shows. */
  shows: string[]
  transport?: 'websocket' | 'sse'
  /** Its thread stands still from the `ready` of a line of its own on. */
  stopsAtReady?: boolean
  /** So many positions that it awaits as the one that leads are refused, as if there were too many. */
  refusesAwaits?: number
  /** How long it waits for locks of its own. */
  lockDelayMs?: number
  /** How long what it says to other tabs takes, as where the page is at work. */
  saysLateMs?: number
}

/** What is asked of a tab. */
export type Asked = { op: 'look' } | { op: 'seen'; lsn: string; timeoutMs: number } | { op: 'freeze'; ms: number } | { op: 'wake' } | { op: 'close' } | { op: 'show'; what: string }

/** How a tab looks. */
export interface Look {
  status: Status
  /** All states it went through. */
  states: Status['state'][]
  /** The addresses of lines that it has laid itself. */
  laid: string[]
  rows: Record<string, { state: string; rows: object[]; resets: number; error?: string | undefined }>
}

const { page, port } = workerData as { page: Page; port: MessagePort }
const stop = (ms?: number) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)

const locks = locksOver(port)
const slow: Pick<LockManager, 'request'> = {
  request: (async (name: string, ...rest: unknown[]) => {
    // The lock by which one leads ends with the addresses.
    if (/:[a-z0-9]{4,8}$/.test(name)) await new Promise((resolve) => setTimeout(resolve, page.lockDelayMs))
    return (locks.request as (...all: unknown[]) => unknown)(name, ...rest)
  }) as LockManager['request'],
}
Object.defineProperty(globalThis, 'navigator', { value: { locks: page.lockDelayMs ? slow : locks }, configurable: true })

if (page.saysLateMs) {
  const late = (action: () => void) => void setTimeout(action, page.saysLateMs)
  globalThis.BroadcastChannel = class extends BroadcastChannel {
    override postMessage = (message: unknown) => late(() => super.postMessage(message))
    override close = () => late(() => super.close())
  }
}

const laid: string[] = []
let refusals = page.refusesAwaits ?? 0
const hooked =
  (connect: Connect): Connect =>
  (address, events, token) => {
    laid.push(new URL(address).host)
    const frame: typeof events.frame = (frame) => {
      if (frame.type === 'ready' && page.stopsAtReady) {
        parentPort!.postMessage({ stopped: true })
        stop()
      }
      events.frame(frame)
    }
    const line = connect(address, { ...events, frame }, token)
    return {
      send: (frame, doubt) => {
        if (frame.type === 'await' && refusals > 0) {
          refusals--
          setTimeout(() => events.frame({ type: 'error', code: 'rate_limited', message: 'too many', retry_after_ms: 200 }))
        } else line.send(frame, doubt)
      },
      close: () => line.close(),
    }
  }

const tide = new Tidegate(
  page.addresses.map((address) => `ws://${address}/v1/socket`),
  {
    webSocket: WebSocket as never,
    transport: page.transport ?? 'websocket',
    share: (connect, addresses) => tabs(page.scope)(hooked(connect), addresses),
  },
)
const states: Status['state'][] = []
tide.status.subscribe(({ state }) => void (states.at(-1) !== state && states.push(state)))

const shown = new Map<string, { rows: Rows; resets: number }>()
const show = (what: string) => {
  const [table, where] = what.split(' where ')
  const one = { rows: tide.rows(table!, where === undefined ? {} : { where }), resets: 0 }
  shown.set(what, one)
  one.rows.subscribe((_, { reset }) => void (reset && one.resets++))
}
page.shows.forEach(show)

const look = (): Look => ({
  status: { ...tide.status.current },
  states,
  laid,
  rows: Object.fromEntries(
    [...shown].map(([what, { rows, resets }]) => [what, { state: rows.state, rows: [...rows.current.values()].sort((a, b) => Number(a.id) - Number(b.id)), resets, error: rows.error?.code }]),
  ),
})

parentPort!.on('message', async ({ id, ...asked }: Asked & { id: number }) => {
  let answer: unknown
  let failed: string | undefined
  try {
    if (asked.op === 'look') answer = look()
    else if (asked.op === 'seen') await tide.seen({ lsn: asked.lsn }, { timeoutMs: asked.timeoutMs })
    else if (asked.op === 'wake') tide.wake()
    else if (asked.op === 'close') tide.close()
    else if (asked.op === 'show') show(asked.what)
    else {
      parentPort!.postMessage({ id })
      return stop(asked.ms)
    }
  } catch (error) {
    failed = String(error)
  }
  parentPort!.postMessage({ id, answer, failed })
})
