import type { RowsOptions, RowsState } from '@tidegate/client'
import { useRows } from '@tidegate/client/react'
import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import type { Activity } from '../api/tables'
import { useWorkspace } from '../api/workspace'
import { newestFirst } from './groups'

const PAGE = 50

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

  useEffect(() => {
    setPast([])
    setMore(true)
  }, [rows])

  const shown = useRef(rows)
  shown.current = rows

  const older = useCallback(async () => {
    setLoading(true)
    try {
      const page = await rows.page(PAGE)
      // Another board may be shown by now.
      if (shown.current === rows) {
        setPast((past) => [...past, ...page.rows])
        setMore(!page.last)
      }
    } catch {
      // Without a line there is nothing older for now.
    }
    setLoading(false)
  }, [rows])

  const activities = useMemo(() => {
    const all = new Map(past.map((activity) => [activity.id, activity]))
    for (const activity of newest.values()) all.set(activity.id, activity)
    return [...all.values()].sort(newestFirst)
  }, [newest, past])

  return { activities, state, more, loading, older }
}
