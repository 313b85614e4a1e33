import type { ServerFrame } from './frames.js'
import type { Connect } from './line.js'

/** Lines by WebSocket, of this class where the platform has none of its own. */
export function webSocket(Socket: typeof WebSocket = WebSocket): Connect {
  return (address, events) => {
    let socket: WebSocket
    try {
      socket = new Socket(address, 'tidegate.v1')
    } catch (error) {
      // An address that this page may not go to, say.
      queueMicrotask(() => events.closed(1006, String(error)))
      return { send() {}, close() {} }
    }
    socket.onmessage = ({ data }) => {
      let frame: ServerFrame
      try {
        frame = JSON.parse(data as string) as ServerFrame
      } catch {
        line.close()
        return events.closed(1006, 'a frame was no JSON')
      }
      events.frame(frame)
    }
    // What went wrong is told by the close; a class of Node's own would throw where nobody listens.
    socket.onerror = () => {}
    socket.onclose = ({ code, reason }) => events.closed(code, reason)
    const line = {
      send: (frame: object) => {
        // What is said in the moment of closing goes nowhere; all of it is said again on the next line.
        if (socket.readyState === 1) socket.send(JSON.stringify(frame))
      },
      close: () => {
        socket.onmessage = socket.onclose = null
        socket.close()
      },
    }
    return line
  }
}
