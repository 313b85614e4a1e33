import type { ServerFrame, SubscribeFrame } from './frames.js'
import { AGAIN, type Connect } from './line.js'

/** Subscriptions that come within this time are asked for together: those of one page, or of several tabs. */
const GATHER_MS = 10
const SHARED_MS = 200
/** A stream is left to itself for so long before another takes its place. */
const REST_MS = 500
/** Of a stream that was heard so lately nobody need ask whether it is there. */
const LATELY_MS = 1_000
/** While a snapshot arrives, a write that is awaited waits: anew it would have to begin again. */
const PATIENCE_MS = 250
/** A stream beats at an interval that it tells at its beginning; after so many of them without a word it is dead. */
const BEATS = 2.5

/**
 * Lines by server-sent events, for where something on the way breaks WebSockets: one request carries all subscriptions, so
 * another subscription, or a write that is awaited, is another request, which goes on from the cursors. There is no `page`
 * here.
 */
export const sse: Connect = (address, events, token) => {
  const url = address.replace(/^ws/, 'http').replace(/socket$/, 'stream')
  const authorization = token ? { authorization: `Bearer ${token}` } : {}
  const asked = new Map<string, SubscribeFrame>()
  const awaited = new Set<string>()
  /** The subscriptions whose snapshot is not complete. */
  const arriving = new Set<string>()
  const leaving = new AbortController()
  const { signal } = leaving
  let begun = 0
  let urgent = false
  let heardAt = Date.now()
  let silenceMs = 60_000
  let timer: ReturnType<typeof setTimeout> | undefined

  const tell = (frame: ServerFrame) => void (signal.aborted || events.frame(frame))
  const closed = (code: number, reason: string) => {
    if (signal.aborted) return
    leaving.abort()
    clearTimeout(timer)
    events.closed(code, reason)
  }
  const broken = (error: unknown) => closed(1006, String(error))

  // Whatever a server answers to no question at all, it is there; what stands before it says that it is not.
  const ask = (there: () => void) =>
    fetch(url, { headers: authorization, signal })
      // What is not read would keep its connection.
      .then((response) => response.text().then(() => (response.status < 500 ? there() : broken(`status ${response.status}`))))
      .catch(broken)
  ask(() => tell({ type: 'ready', session: '', heartbeat_ms: 0 }))

  const run = async () => {
    const headers = { 'content-type': 'application/json', ...authorization }
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
        if (data.length > 0) hear(JSON.parse(data.join('\n')) as ServerFrame)
      }
    }
  }

  const hear = (frame: ServerFrame) => {
    if (frame.type === 'ready') {
      silenceMs = BEATS * frame.heartbeat_ms
      return
    }
    if (frame.type === 'subscribed' && frame.cursor === undefined) arriving.add(frame.id)
    else if (frame.type === 'error' || (frame.type === 'snapshot' && frame.last)) arriving.delete(frame.id ?? '')
    tell(frame)
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

  const gather = (ms = events.shared ? SHARED_MS : GATHER_MS) => {
    timer ??= setTimeout(() => {
      timer = undefined
      if (begun) return (!urgent && arriving.size > 0) || Date.now() - begun < REST_MS ? gather(PATIENCE_MS) : closed(AGAIN, '')
      urgent = false
      if (asked.size === 0) return
      begun = Date.now()
      run().catch(broken)
    }, ms)
  }

  return {
    send: (frame, doubt) => {
      if (frame.type === 'ping') {
        const silence = Date.now() - heardAt
        if (silence < LATELY_MS) return events.heard()
        // The server may be there, and this stream dead all the same: in doubt another one takes its place.
        return void ask(() => (doubt || silence > silenceMs ? closed(AGAIN, '') : tell({ type: 'pong' })))
      }
      if (frame.type === 'page') {
        return tell({ type: 'error', id: frame.id, code: 'unsupported', message: 'pages need a WebSocket', request: 'page' })
      }
      if (frame.type === 'await') awaited.add(frame.lsn)
      else if (frame.type === 'subscribe') asked.set(frame.id, frame)
      else if (frame.type !== 'unsubscribe' || !asked.delete(frame.id)) return
      urgent ||= frame.type !== 'await'
      gather()
    },
    close: () => {
      clearTimeout(timer)
      leaving.abort()
    },
  }
}
