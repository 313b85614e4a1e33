import { useStatus } from '@tidegate/client/react'
import { lazy, Suspense } from 'react'
import { Redirect, Route, Switch, useLocation } from 'wouter'
import { LAST_BOARD, useBoards, useWorkspace } from '../api/workspace'
import { Bones, Empty } from '../design/Empty'
import { useFollowedPreferences } from '../people/usePreferences'
import { useSession } from '../session/useSession'
import { Faults } from './Faults'
import { NoAccess } from './NoAccess'
import { Dock, Sidebar } from './Navigation'
import { OfflineNote } from './OfflineNote'
import { useWire } from './useWire'
import './splash.css'
import './shell.css'

const BoardsPage = lazy(() => import('../board/BoardsPage'))
const BoardPage = lazy(() => import('../board/BoardPage'))
const ActivityPage = lazy(() => import('../activity/ActivityPage'))
const DashboardPage = lazy(() => import('../dashboard/DashboardPage'))
const MeasurePage = lazy(() => import('../dashboard/MeasurePage'))
const NotificationsPage = lazy(() => import('../people/NotificationsPage'))
const MePage = lazy(() => import('../people/MePage'))

const HAPPENINGS = { snapshot: false, columns: ['id', 'board_id'] }

/** What is around every view. */
export function Shell() {
  const { tide, person } = useWorkspace()
  const status = useStatus(tide)
  const session = useSession()
  useFollowedPreferences()
  // Whatever is done on a board writes an activity: by it the line is measured in every view.
  useWire(tide.rows('public.activities', HAPPENINGS), 'activities')
  if (status.state === 'ended') {
    return <NoAccess name={person?.name} isUnknown={status.error?.code === 'unauthenticated' && !status.error.message.includes('role_not_allowed')} onSignOut={() => void session.signOut()} />
  }
  return (
    <>
      <a className="skip" href="#content">
        Skip to content
      </a>
      <div className="shell" data-connection={status.state}>
        <Sidebar />
        <main id="content" className="content" tabIndex={-1}>
          <OfflineNote />
          <Faults>
            <Suspense fallback={<PageBones />}>
              <Views />
            </Suspense>
          </Faults>
        </main>
        <Dock />
      </div>
    </>
  )
}

function Views() {
  const boards = useBoards()
  if (boards.state === 'ended') return <Empty icon="off" title="There are no boards here" />
  return (
    <Switch>
      <Route path="/" component={First} />
      <Route path="/boards">
        <BoardsPage />
      </Route>
      {/* One route for all that stands on a board: the columns stay where they are while something opens above them. */}
      <Route<{ board: string; what?: string; entry?: string }> path="/boards/:board/:what?/:entry?">
        {({ board, what, entry }) => <BoardPage key={board} board={board} entry={what === 'entries' ? entry : undefined} settings={what === 'settings'} />}
      </Route>
      <Route path="/activity">
        <ActivityPage />
      </Route>
      <Route<{ board: string; kpi: string }> path="/dashboard/:board/:kpi">{({ board, kpi }) => <MeasurePage board={board} kpi={kpi} />}</Route>
      <Route<{ board?: string }> path="/dashboard/:board?">{({ board }) => <DashboardPage board={board} />}</Route>
      <Route path="/notifications">
        <NotificationsPage />
      </Route>
      <Route path="/me">
        <MePage />
      </Route>
      <Route>
        <Empty icon="wave" title="Nothing here" />
      </Route>
    </Switch>
  )
}

/** The board that was open last, or the only one. */
function First() {
  const { rows, state } = useBoards()
  const [location] = useLocation()
  if (location !== '/') return null
  const last = localStorage.getItem(LAST_BOARD)
  if (last && rows.has(last)) return <Redirect to={`/boards/${last}`} replace />
  const [first] = rows.keys()
  if (first && rows.size === 1) return <Redirect to={`/boards/${first}`} replace />
  if (rows.size > 1 || state === 'live') return <Redirect to="/boards" replace />
  return <PageBones />
}

function PageBones() {
  return (
    <div className="page page-bones">
      <Bones count={3} height={120} />
    </div>
  )
}
