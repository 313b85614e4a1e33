// What both sides say, as docs/protocol.md has it. Fields that this library does not read are left out.

/** A value as it stands in a frame. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

/** A row as it stands in a frame. */
export type Wire = Record<string, Json>

export interface Column {
  readonly name: string
  readonly type: string
  readonly nullable: boolean
}

export interface SubscribeFrame {
  type: 'subscribe'
  id: string
  [field: string]: unknown
}

export type ClientFrame =
  | SubscribeFrame
  | { type: 'auth'; token: string }
  | { type: 'page'; id: string; after: Wire; limit: number }
  | { type: 'unsubscribe'; id: string }
  | { type: 'await'; lsn: string }
  | { type: 'ping' }

export interface ChangeFrame {
  op: 'insert' | 'update' | 'delete'
  row?: Wire
  key?: Wire
  unchanged?: string[]
}

/** A channel's event, as it was published. See https://cloudevents.io. */
export interface CloudEvent<Data = unknown> {
  specversion: string
  id: string
  source: string
  type: string
  subject?: string
  time?: string
  datacontenttype?: string
  data?: Data
  [attribute: string]: unknown
}

export interface ErrorFrame {
  type: 'error'
  id?: string
  code: string
  message: string
  field?: string
  position?: number
  hint?: string
  retry_after_ms?: number
  request?: string
}

export type ServerFrame =
  /** `server`: of another tab's line, which of the addresses it is to. */
  | { type: 'ready'; session: string; heartbeat_ms: number; server?: string }
  | { type: 'subscribed'; id: string; shape?: string; key?: string[]; columns?: Column[]; cursor?: string }
  | { type: 'snapshot'; id: string; rows: Wire[]; last: boolean; cursor?: string; lsn?: string }
  | {
      type: 'changes'
      id: string
      cursor?: string
      lsn: string
      tx?: { id: string; committed_at: string; last: boolean }
      changes: ChangeFrame[]
    }
  | { type: 'truncate'; id: string; cursor?: string; lsn: string }
  | { type: 'progress'; cursor: string; lsn: string }
  | { type: 'reached'; lsn: string }
  | { type: 'page'; id: string; rows: Wire[]; last: boolean }
  | { type: 'events'; id: string; cursor?: string; events: CloudEvent[] }
  | { type: 'resync'; id: string; reason: string }
  | { type: 'unsubscribed'; id: string }
  | { type: 'token_expiring'; expires_at: string }
  | ErrorFrame
  /** `latency_ms`: of another tab's line, as that tab measured it. */
  | { type: 'pong'; latency_ms?: number }
