import { AGAIN, type Connect, type Line } from './line.js'

/** How long the first way has to get through. */
const PATIENCE_MS = 4_000
/** So often in a row it has to fail: once is a server that just went. */
const MISSES = 2
/** When the first way is tried again while the second does: then five times as late each time that it still fails. */
const RETURN_MS = 60_000

/** Lines by `first`, and by `second` where that does not get through. */
export function fallback(first: Connect, second: Connect): Connect {
  let misses = 0
  let returnMs = RETURN_MS
  /** Until when the second way is taken without asking. */
  let until = 0
  return (address, events, token) => {
    let timer: ReturnType<typeof setTimeout>
    const another = (): Line => {
      const closed = (code: number, reason: string) => {
        clearTimeout(timer)
        if (code !== AGAIN) until = 0
        events.closed(code, reason)
      }
      const line = second(address, { ...events, closed }, token)
      timer = setTimeout(() => {
        line.close()
        closed(AGAIN, '')
      }, until - Date.now())
      return line
    }
    const miss = (code: number, reason: string) => {
      clearTimeout(timer)
      if (++misses < MISSES) return events.closed(code, reason)
      line.close()
      until = Date.now() + returnMs
      returnMs *= 5
      line = another()
    }
    let line: Line
    if (until > Date.now()) line = another()
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
      send: (frame) => line.send(frame),
      close: () => {
        clearTimeout(timer)
        line.close()
      },
    }
  }
}
