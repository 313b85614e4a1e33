import type { ClientFrame, ServerFrame } from './frames.js'

/** What becomes of a line. After `closed` nothing more is told. */
export interface LineEvents {
  /** Whether it is for several tabs, whose subscriptions come one after the other. */
  readonly shared?: boolean
  /** A sign of life that is no frame. */
  heard(): void
  frame(frame: ServerFrame): void
  /**
   * By a close code of docs/protocol.md: 1006 also for a line that never stood, {@link AGAIN} and {@link HANDOVER} for one
   * that only has to be laid anew.
   */
  closed(code: number, reason: string): void
}

/** The conversation with one server: a socket, a stream, or another tab's socket. */
export interface Line {
  /** @param doubt of a ping: there is a reason to think that the line is dead, and what was heard lately says nothing. */
  send(frame: ClientFrame, doubt?: boolean): void
  /** Gives the line up at once, without waiting for the other side, which may be gone. `closed` is not told. */
  close(): void
}

/** Lays a line to `address` (`wss://host/v1/socket`). `token` is there for a transport that has to bring it with the request. */
export type Connect = (address: string, events: LineEvents, token: string | null) => Line

/** A close of our own: another tab has the line now. To the same address, at once; it is no attempt that failed. No server closes beyond it. */
export const HANDOVER = 4998

/** A close of our own: the same again, at once, and nothing is interrupted. */
export const AGAIN = 4999
