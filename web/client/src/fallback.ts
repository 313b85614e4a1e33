import { AGAIN, type Connect, type Line } from './line.js'

/** How long the first way has to get through. */
const PATIENCE_MS = 4_000

/** Lines by `first`, and where that does not get through by `second`, which then stays as long as its lines hold. */
export function fallback(first: Connect, second: Connect): Connect {
  let stays = false
  return (address, events, token) => {
    const another = (): Line => {
      stays = true
      const closed = (code: number, reason: string) => {
        stays = code === AGAIN
        events.closed(code, reason)
      }
      return second(address, { ...events, closed }, token)
    }
    if (stays) return another()
    let stands = false
    const turn = () => {
      clearTimeout(timer)
      line.close()
      line = another()
    }
    const timer = setTimeout(turn, PATIENCE_MS)
    let line = first(
      address,
      {
        heard: () => events.heard(),
        frame: (frame) => {
          stands = true
          clearTimeout(timer)
          events.frame(frame)
        },
        closed: (code, reason) => {
          clearTimeout(timer)
          if (stands || code !== 1006) events.closed(code, reason)
          else turn()
        },
      },
      token,
    )
    return {
      send: (frame) => line.send(frame),
      close: () => {
        clearTimeout(timer)
        line.close()
      },
    }
  }
}
