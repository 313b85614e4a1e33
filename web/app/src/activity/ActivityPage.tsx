import { useEffect, useMemo, useRef, useState } from 'react'
import type { Activity } from '../api/tables'
import { useTitle } from '../app/useTitle'
import { BoardPicker } from '../design/BoardPicker'
import { Bones, Empty } from '../design/Empty'
import { More } from '../design/More'
import { Feed } from './Feed'
import { grouped, newestFirst } from './groups'
import { lined, type Lines } from './lines'
import { useFeed } from './useFeed'
import './activity.css'

/** What happens, as it happens. */
export default function ActivityPage() {
  useTitle('Activity')
  const [board, setBoard] = useState<string | null>(null)
  const { rows: activities, state, more, ...paging } = useFeed(board)
  const lines = useLines(activities)
  const isNew = useNews(activities)

  return (
    <div className="page activity-page">
      <header className="page-head">
        <h1>Activity</h1>
        <BoardPicker board={board} onBoard={setBoard} />
      </header>
      {activities.length === 0 && (state === 'live' ? <Empty icon="pulse" title="Nothing has happened yet" /> : <Bones count={6} height={64} />)}
      <Feed lines={lines} isNew={isNew} showBoard={board === null} busy={paging.loading} whole={!more} />
      {activities.length > 0 && more && <More {...paging} />}
    </div>
  )
}

function useLines(activities: readonly Activity[]): Lines {
  const before = useRef<Lines>(undefined)
  const lines = useMemo(() => lined(grouped(activities), before.current), [activities])
  useEffect(() => {
    before.current = lines
  }, [lines])
  return lines
}

/** Tells what has come since the last time that something was drawn; what is only scrolled to has not. */
function useNews([newest]: readonly Activity[]): (activity: Activity) => boolean {
  const known = useRef<Activity>(undefined)
  useEffect(() => {
    known.current = newest
  })
  return (activity) => !known.current || newestFirst(activity, known.current) < 0
}
