import { Problem, Unreachable } from './problem'

/** How long a command waits for the line to come back. */
const PATIENCE_MS = 60_000
const PAUSE = { leastMs: 400, mostMs: 5_000 }

interface Patience {
  /** Resolves when another attempt is worth its while, at the latest after so long. */
  pause: (ms: number) => Promise<void>
  now?: () => number
  /** Told when it has to wait, and when it goes on. */
  onWait?: (waiting: boolean) => void
}

/**
 * Tries until it is answered, for as long as a person would wait. What is tried has to bring one key each time, so that a
 * server which did it and could not say so does it once.
 */
export async function patiently<T>(attempt: () => Promise<T>, { pause, now = Date.now, onWait }: Patience): Promise<T> {
  const end = now() + PATIENCE_MS
  let wait = PAUSE.leastMs
  let waiting = false
  for (;;) {
    try {
      const answer = await attempt()
      if (waiting) onWait?.(false)
      return answer
    } catch (error) {
      const least = delay(error)
      if (least === null || now() + Math.max(wait, least) >= end) throw error
      if (!waiting) onWait?.(true)
      waiting = true
      await pause(Math.max(wait, least))
      wait = Math.min(wait * 2, PAUSE.mostMs)
    }
  }
}

const AGAIN = { leastMs: 1_000, mostMs: 60_000 }

/**
 * How long to wait before what failed so many times one after the other is asked for again, for as long as somebody shows it:
 * twice as long each time, and at random, so that not all pages come back at once.
 */
export function pauseAfter(failures: number, error: unknown, random = Math.random): number {
  const most = Math.min(AGAIN.mostMs, AGAIN.leastMs * 2 ** (failures - 1))
  return Math.max((most * (1 + random())) / 2, (error instanceof Problem && error.retryAfterMs) || 0)
}

function delay(error: unknown): number | null {
  if (error instanceof Unreachable) return 0
  if (error instanceof Problem && error.passes) return error.retryAfterMs ?? 0
  return null
}
