import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import { openWorkspace, type Workspace, WorkspaceProvider } from '../api/workspace'
import { LineContext } from '../demo/line'
import { Empty } from '../design/Empty'
import { Toasts } from '../design/toasts'
import { SignIn } from '../session/SignIn'
import type { Session, Sessions } from '../session/session'
import { SessionContext } from '../session/useSession'
import { Faults } from './Faults'
import { Shell } from './Shell'
import { Splash } from './Splash'

export function App({ sessions }: { sessions: Sessions }) {
  const session = useSyncExternalStore(sessions.subscribe, () => sessions.current)
  return (
    <Faults>
      <SessionContext value={sessions}>{view(session, sessions)}</SessionContext>
      <Toasts />
    </Faults>
  )
}

function view(session: Session, sessions: Sessions) {
  switch (session.kind) {
    case 'starting':
      return <Splash />
    case 'unreachable':
      return (
        <Empty icon="off" title="The server cannot be reached">
          <button type="button" className="button" onClick={() => location.reload()}>
            Try again
          </button>
        </Empty>
      )
    case 'signed-out':
      return <SignIn page={session.page} why={session.why} />
    default:
      return <Work key={session.kind === 'in' ? session.person.id : ''} session={session} sessions={sessions} />
  }
}

function Work({ session, sessions }: { session: Extract<Session, { kind: 'in' | 'viewing' }>; sessions: Sessions }) {
  const [line, setLine] = useState<readonly string[] | null>(null)
  const person = session.kind === 'in' ? session.person : null
  const { page } = session
  const workspace = useMemo(() => openWorkspace({ page, person, token: sessions.token, line }), [page, person, sessions, line])
  useClosing(workspace)
  useEffect(() => sessions.leaving(workspace.forget), [sessions, workspace])
  const lines = useMemo(() => ({ own: line, take: setLine }), [line])
  return (
    <WorkspaceProvider value={workspace}>
      <LineContext value={lines}>
        <Shell />
      </LineContext>
    </WorkspaceProvider>
  )
}

/** Closes what is not used any more; not what an effect lets go and takes up again, as in strict mode. */
function useClosing(workspace: Workspace): void {
  const closing = useRef(new Map<Workspace, ReturnType<typeof setTimeout>>())
  useEffect(() => {
    const timers = closing.current
    clearTimeout(timers.get(workspace))
    timers.delete(workspace)
    return () => void timers.set(workspace, setTimeout(() => workspace.tide.close()))
  }, [workspace])
}
