import { AGAIN, type Connect, type Line } from './line.js'

/** How long the first way has to get through. */
const PATIENCE_MS = 4_000
/** So often in a row it has to fail: once is a server that just went. */
const MISSES = 2
/** When the first way is tried again while the second does: then five times as late each time that it still fails. */
const RETURN_MS = 60_000
const MOST_MS = 3_600_000

/** Lines by `first`, and by `second` where only that gets through. */
export function fallback(first: Connect, second: Connect): Connect {
  let misses = 0
  let returnMs = RETURN_MS
  /** Until when the second way is taken without asking. */
  let until = 0
  return (address, events, token) => {
    let timer: ReturnType<typeof setTimeout>
    let line: Line
    const another = (fresh: boolean): Line => {
      const closed = (code: number, reason: string) => {
        clearTimeout(timer)
        if (code !== AGAIN) until = 0
        events.closed(code, reason)
      }
      const frame: typeof events.frame = (frame) => {
        // It does where the first way did not: that is not tried as soon the next time.
        if (fresh) returnMs = Math.min(5 * returnMs, MOST_MS)
        fresh = false
        events.frame(frame)
      }
      const other = second(address, { ...events, frame, closed }, token)
      timer = setTimeout(() => {
        other.close()
        closed(AGAIN, '')
      }, until - Date.now())
      return other
    }
    const miss = (code: number, reason: string) => {
      clearTimeout(timer)
      line?.close()
      if (++misses < MISSES) return events.closed(code, reason)
      until = Date.now() + returnMs
      line = another(true)
    }
    if (until > Date.now()) line = another(false)
    else {
      let stands = false
      timer = setTimeout(() => miss(1006, 'no answer'), PATIENCE_MS)
      const frame: typeof events.frame = (frame) => {
        stands = true
        misses = 0
        returnMs = RETURN_MS
        clearTimeout(timer)
        events.frame(frame)
      }
      const closed = (code: number, reason: string) => {
        clearTimeout(timer)
        if (stands || code !== 1006) events.closed(code, reason)
        else miss(code, reason)
      }
      line = first(address, { ...events, frame, closed }, token)
    }
    return {
      send: (frame, doubt) => line.send(frame, doubt),
      close: () => {
        clearTimeout(timer)
        line.close()
      },
    }
  }
}
