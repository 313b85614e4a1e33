import type { RowsOptions, RowsState } from '@tidegate/client'
import { useRows } from '@tidegate/client/react'
import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import type { Activity } from '../api/tables'
import { useWorkspace } from '../api/workspace'
import { newestFirst } from './groups'

const PAGE = 50
/** How far back one can look here. */
const HELD = 5_000

interface Feed {
  activities: readonly Activity[]
  state: RowsState
  /** Whether there are older ones. */
  more: boolean
  loading: boolean
  older: () => Promise<void>
}

/** What happened, live at its newer end and read page by page at its older one. */
export function useFeed(board: string | null): Feed {
  const { tide } = useWorkspace()
  const options: RowsOptions = { orderBy: 'at desc', limit: PAGE, ...(board && { where: 'board_id = $1', params: [board] }) }
  const rows = tide.rows<Activity>('public.activities', options)
  const { rows: newest, state } = useRows(rows)
  const [past, setPast] = useState<readonly Activity[]>([])
  const [more, setMore] = useState(true)
  const [loading, setLoading] = useState(false)

  const activities = useMemo(() => {
    const all = new Map(past.map((activity) => [activity.id, activity]))
    for (const activity of newest.values()) all.set(activity.id, activity)
    return [...all.values()].sort(newestFirst)
  }, [newest, past])

  useEffect(() => {
    const forget = () => {
      setPast([])
      setMore(true)
    }
    forget()
    return rows.subscribe((_, { reset, changes }) => {
      // Between the newest ones of now and what was read before there may be others.
      if (reset) return forget()
      const behind = changes.flatMap((change) => (change.op === 'delete' && change.behind && change.before ? change.before : []))
      if (behind.length > 0) setPast((past) => (past.length > 0 ? [...behind, ...past].sort(newestFirst).slice(0, HELD) : past))
    })
  }, [rows])

  const [last, held] = [activities.at(-1), activities.length]
  const current = useRef(rows)
  current.current = rows
  const older = useCallback(async () => {
    setLoading(true)
    try {
      const page = await rows.page(PAGE, last)
      // Another board may be looked at by now.
      if (current.current === rows) {
        setPast((past) => [...past, ...page.rows].slice(0, HELD))
        setMore(!page.last && held < HELD)
      }
    } catch {
      // Without a line there is nothing older for now.
    }
    setLoading(false)
  }, [rows, last, held])

  return { activities, state, more, loading, older }
}
