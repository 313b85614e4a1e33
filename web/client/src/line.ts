import type { ClientFrame, ServerFrame } from './frames.js'

/** What becomes of a line. After `closed` nothing more is told. */
export interface LineEvents {
  /** A sign of life that is no frame. */
  heard(): void
  frame(frame: ServerFrame): void
  /** By a close code of docs/protocol.md: 1006 also for a line that never stood, {@link AGAIN} for one that only has to be laid anew. */
  closed(code: number, reason: string): void
}

/** The conversation with one server: a socket, a stream, or another tab's socket. */
export interface Line {
  send(frame: ClientFrame): void
  /** Gives the line up at once, without waiting for the other side, which may be gone. `closed` is not told. */
  close(): void
}

/** Lays a line to `address` (`wss://host/v1/socket`). `token` is there for a transport that has to bring it with the request. */
export type Connect = (address: string, events: LineEvents, token: string | null) => Line

/** A close of our own: the same again, at once. */
export const AGAIN = 4999
