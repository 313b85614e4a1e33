import type { ServerFrame } from './frames.js'
import type { Connect } from './line.js'

/** Lines by WebSocket, of this class where the platform has none of its own. */
export function webSocket(Socket: typeof WebSocket = WebSocket): Connect {
  return (address, events) => {
    const socket = new Socket(address, 'tidegate.v1')
    socket.onmessage = ({ data }) => events.frame(JSON.parse(data as string) as ServerFrame)
    // What went wrong is told by the close; a class of Node's own would throw where nobody listens.
    socket.onerror = () => {}
    socket.onclose = ({ code, reason }) => events.closed(code, reason)
    return {
      send: (frame) => {
        // What is said in the moment of closing goes nowhere; all of it is said again on the next line.
        if (socket.readyState === 1) socket.send(JSON.stringify(frame))
      },
      close: () => {
        socket.onmessage = socket.onclose = null
        socket.close()
      },
    }
  }
}
