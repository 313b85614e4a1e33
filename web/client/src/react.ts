import { useCallback, useEffect, useRef, useSyncExternalStore } from 'react'
import type { Channel } from './channel.js'
import type { TidegateError } from './error.js'
import type { CloudEvent } from './frames.js'
import type { Status } from './link.js'
import type { RowsState } from './batch.js'
import type { Rows } from './rows.js'
import type { Tidegate } from './tidegate.js'

/** What {@link useRows} gives. */
export interface LiveRows<R> {
  /** The rows by key: another Map whenever something has changed. */
  readonly rows: ReadonlyMap<string, R>
  readonly state: RowsState
  readonly error: TidegateError | undefined
}

const NONE: LiveRows<never> = { rows: new Map<string, never>(), state: 'idle', error: undefined }

/**
 * Live rows. `tide.rows(…)` gives the same object for the same arguments, so it may stand in the call; null asks for nothing.
 * Draws at most once a frame, however many transactions come.
 */
export function useRows<R extends object>(rows: Rows<R> | null): LiveRows<R> {
  const last = useRef<LiveRows<R>>(NONE)
  const subscribe = useCallback(
    (changed: () => void) => {
      if (!rows) return () => {}
      const { soon, cancel } = framewise(changed)
      // How it stands is told with the rows: what is shown and what is said of it go together.
      const leave = [rows.watch(soon), rows.subscribe(soon), cancel]
      return () => leave.forEach((step) => step())
    },
    [rows],
  )
  const look = () => {
    const { current, state, error } = rows ?? { current: NONE.rows as ReadonlyMap<string, R>, state: NONE.state, error: undefined }
    const { current: before } = last
    if (before.rows !== current || before.state !== state || before.error !== error) last.current = { rows: current, state, error }
    return last.current
  }
  return useSyncExternalStore(subscribe, look, look)
}

/** Calls `event` with each event of a channel while the component is there; null asks for nothing. */
export function useChannel<Data>(channel: Channel<Data> | null, event: (event: CloudEvent<Data>) => void): void {
  const latest = useRef(event)
  useEffect(() => {
    latest.current = event
  })
  useEffect(() => channel?.on((one) => latest.current(one)), [channel])
}

/** How it stands with the server. */
export function useStatus(tide: Tidegate): Status {
  const subscribe = useCallback((changed: () => void) => tide.status.subscribe(changed), [tide])
  const look = () => tide.status.current
  return useSyncExternalStore(subscribe, look, look)
}

/** Calls `action` in the next frame, once for all that asked; a page that nobody sees draws when it is looked at again. */
function framewise(action: () => void): { soon: () => void; cancel: () => void } {
  let asked: number | undefined
  const { requestAnimationFrame: request = (run: () => void) => setTimeout(run, 16) as unknown as number, cancelAnimationFrame: drop = clearTimeout } = globalThis
  return {
    soon: () => {
      asked ??= request(() => {
        asked = undefined
        action()
      })
    },
    cancel: () => {
      if (asked !== undefined) drop(asked)
    },
  }
}
