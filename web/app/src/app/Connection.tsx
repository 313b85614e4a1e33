import { useStatus } from '@tidegate/client/react'
import { lazy, Suspense, useSyncExternalStore } from 'react'
import { useWorkspace } from '../api/workspace'
import { Menu } from '../design/Menu'

const ConnectionPanel = lazy(() => import('./ConnectionPanel'))

const WORDS = { idle: 'Starting', connecting: 'Connecting', live: 'Live', resuming: 'Resuming', offline: 'Offline', ended: 'Ended' } as const

/** How the line is, quietly; more of it on a click. */
export function Connection() {
  const { tide, wire } = useWorkspace()
  const { state } = useStatus(tide)
  const latency = useSyncExternalStore(wire.subscribe, () => wire.latency)
  const isLive = state === 'live'
  return (
    <div className="connection" data-connection={state}>
      <Menu
        kind="quiet"
        role="dialog"
        side="above"
        panel="Connection"
        className="connection-button"
        label={
          <>
            <span className="connection-dot" aria-hidden="true" />
            <span>
              <span className="unseen">Connection: </span>
              {WORDS[state]}
            </span>
            {isLive && latency !== null && (
              <span className="connection-latency number" data-latency={Math.round(latency)} title="From commit to screen">
                {Math.max(1, Math.round(latency))} ms
              </span>
            )}
          </>
        }
      >
        {() => (
          <Suspense fallback={<div className="bone connection-bone" />}>
            <ConnectionPanel />
          </Suspense>
        )}
      </Menu>
    </div>
  )
}
