import { useCallback, useEffect, useRef } from 'react'
import type { Activity, Id, User } from '../api/tables'
import { useWorkspace } from '../api/workspace'
import type { Moved } from './store'

/** Transactions whose doers are remembered. */
const KEPT = 200

/** Who did what was done in a transaction: its activity came with it. */
export function useMovers(board: Id, people: ReadonlyMap<string, User>): (moved: Moved) => User | undefined {
  const { tide } = useWorkspace()
  const doers = useRef(new Map<string, string>())
  const known = useRef(people)
  known.current = people

  useEffect(() => {
    const rows = tide.rows<Activity>('public.activities', { where: 'board_id = $1', params: [board], columns: ['id', 'actor_id', 'board_id'], snapshot: false })
    return rows.subscribe((_, { tx, changes }) => {
      if (!tx) return
      for (const change of changes) {
        if (change.op === 'insert' && change.row.actor_id) doers.current.set(tx, change.row.actor_id)
      }
      for (const old of doers.current.keys()) {
        if (doers.current.size <= KEPT) break
        doers.current.delete(old)
      }
    })
  }, [tide, board])

  return useCallback(({ tx }: Moved) => {
    const doer = tx && doers.current.get(tx)
    return doer ? known.current.get(doer) : undefined
  }, [])
}

