// `navigator.locks` as the platform has it, for Node: exclusive locks by name, first come, first served, for pages that die.
// See https://w3c.github.io/web-locks.

import type { MessagePort } from 'node:worker_threads'

interface Options {
  signal?: AbortSignal
  ifAvailable?: boolean
}
type Granted = (lock: { name: string } | null) => unknown

/** What the pages of one browser hold, and what they wait for. */
export class Locks {
  /** By name: who holds it comes first. */
  readonly #queues = new Map<string, { page: object; granted: () => void }[]>()

  /** Calls `granted` once it is this one's turn. Returns how to let go, or to leave the queue. */
  wait(page: object, name: string, granted: () => void): () => void {
    const queue = this.#queues.get(name) ?? []
    this.#queues.set(name, queue)
    const place = { page, granted }
    queue.push(place)
    if (queue[0] === place) granted()
    return () => this.#leave(name, place)
  }

  isFree(name: string): boolean {
    return (this.#queues.get(name)?.length ?? 0) === 0
  }

  /** A page is gone, and with it all that it held or waited for. */
  died(page: object): void {
    for (const [name, queue] of this.#queues) for (const place of [...queue].reverse()) if (place.page === page) this.#leave(name, place)
  }

  #leave(name: string, place: { page: object; granted: () => void }): void {
    const queue = this.#queues.get(name)!
    const at = queue.indexOf(place)
    if (at < 0) return
    queue.splice(at, 1)
    if (at === 0) queue[0]?.granted()
  }
}

/** Answers for the locks of a page in a worker, which asks through `port`. */
export function serveLocks(locks: Locks, page: object, port: MessagePort): void {
  const leave = new Map<number, () => void>()
  port.on('message', ({ op, id, name, ifAvailable }: { op: 'request' | 'leave'; id: number; name: string; ifAvailable?: boolean }) => {
    if (op === 'leave') {
      leave.get(id)?.()
      leave.delete(id)
    } else if (ifAvailable && !locks.isFree(name)) port.postMessage({ id, granted: false })
    else leave.set(id, locks.wait(page, name, () => port.postMessage({ id, granted: true })))
  })
}

/** `navigator.locks` of a page: `ask` waits for one and tells when it is granted, false where it was not available. */
export function lockManager(ask: (name: string, ifAvailable: boolean, answer: (granted: boolean) => void) => () => void): Pick<LockManager, 'request'> {
  const request = async (name: string, ...rest: [Granted] | [Options, Granted]): Promise<unknown> => {
    const granted = rest.at(-1) as Granted
    const { signal, ifAvailable = false } = rest.length > 1 ? (rest[0] as Options) : {}
    signal?.throwIfAborted()
    let leave = () => {}
    try {
      const isOurs = await new Promise<boolean>((resolve, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
        leave = ask(name, ifAvailable, resolve)
      })
      return await granted(isOurs ? { name } : null)
    } finally {
      leave()
    }
  }
  return { request: request as LockManager['request'] }
}

/** The locks of a page in this very thread. */
export const locksOf = (locks: Locks, page: object): Pick<LockManager, 'request'> =>
  lockManager((name, ifAvailable, answer) => {
    if (ifAvailable && !locks.isFree(name)) {
      answer(false)
      return () => {}
    }
    return locks.wait(page, name, () => answer(true))
  })

/** The locks of this page, in a worker that asks through `port`. */
export function locksOver(port: MessagePort): Pick<LockManager, 'request'> {
  const answers = new Map<number, (granted: boolean) => void>()
  let ids = 0
  port.on('message', ({ id, granted }: { id: number; granted: boolean }) => answers.get(id)?.(granted))
  return lockManager((name, ifAvailable, answer) => {
    const id = ++ids
    answers.set(id, answer)
    port.postMessage({ op: 'request', id, name, ifAvailable })
    return () => {
      answers.delete(id)
      port.postMessage({ op: 'leave', id })
    }
  })
}
