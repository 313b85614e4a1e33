import type { ServerFrame, SubscribeFrame } from './frames.js'
import { AGAIN, type Connect } from './line.js'

/** Subscriptions that come within this time are asked for together. */
const GATHER_MS = 10
/** A stream beats every 25 s unless the server is told otherwise: without two beats it is dead. */
const SILENCE_MS = 60_000

/**
 * Lines by server-sent events, for where something on the way breaks WebSockets: one request carries all subscriptions, so
 * another subscription, or a write that is awaited, is another request, which goes on from the cursors. There is no `page`
 * here.
 */
export const sse: Connect = (address, events, token) => {
  const url = address.replace(/^ws/, 'http').replace(/socket$/, 'stream')
  const asked = new Map<string, SubscribeFrame>()
  const awaited = new Set<string>()
  const leaving = new AbortController()
  const { signal } = leaving
  let begun = false
  let heardAt = 0
  let timer: ReturnType<typeof setTimeout>

  const tell = (frame: ServerFrame) => void (signal.aborted || events.frame(frame))
  const closed = (code: number, reason: string) => {
    if (signal.aborted) return
    leaving.abort()
    events.closed(code, reason)
  }
  const broken = (error: unknown) => closed(1006, String(error))

  // Whatever it answers to no question at all, it is there.
  fetch(url, { signal }).then(() => tell({ type: 'ready', session: '', heartbeat_ms: 0 }), broken)

  const run = async () => {
    const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) }
    const awaits = [...awaited].map((lsn) => ({ type: 'await', lsn }))
    const body = JSON.stringify([...asked.values(), ...awaits])
    const response = await fetch(url, { method: 'POST', headers, body, signal })
    if (!response.ok || !response.body) return refused(response)
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
    let rest = ''
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return closed(1001, 'the stream has ended')
      heardAt = Date.now()
      events.heard()
      const parts = (rest + value).split('\n\n')
      rest = parts.pop()!
      for (const part of parts) {
        const data = part.split('\n').flatMap((line) => (line.startsWith('data: ') ? line.slice(6) : []))
        const frame = data.length > 0 && (JSON.parse(data.join('\n')) as ServerFrame)
        if (frame && frame.type !== 'ready') tell(frame)
      }
    }
  }

  const refused = async (response: Response) => {
    const problem = (await response.json().catch(() => ({}))) as { code?: string; detail?: string }
    const { code = 'internal', detail = `status ${response.status}` } = problem
    const [only] = asked.keys()
    if (response.status === 401) return closed(4401, code)
    // The only subscription is refused with its request; what is wrong with the moment is tried again.
    if (asked.size === 1 && response.status < 500 && response.status !== 429) {
      return tell({ ...problem, type: 'error', id: only!, code, message: detail })
    }
    const wait = Number(response.headers.get('retry-after')) * 1_000
    closed(response.status === 403 ? 4403 : 1006, wait > 0 ? `retry_after_ms=${wait}` : detail)
  }

  const gather = () => {
    clearTimeout(timer)
    timer = setTimeout(() => {
      if (begun) return closed(AGAIN, '')
      begun = asked.size > 0
      if (begun) run().catch(broken)
    }, GATHER_MS)
  }

  return {
    send: (frame) => {
      if (frame.type === 'subscribe') asked.set(frame.id, frame)
      else if (frame.type === 'unsubscribe') asked.delete(frame.id)
      else if (frame.type === 'await') awaited.add(frame.lsn)
      else if (frame.type === 'ping' && (!begun || Date.now() - heardAt < SILENCE_MS)) return events.heard()
      else if (frame.type !== 'page') return
      else return tell({ type: 'error', id: frame.id, code: 'unsupported', message: 'older rows are read over a WebSocket', request: 'page' })
      gather()
    },
    close: () => {
      clearTimeout(timer)
      leaving.abort()
    },
  }
}
