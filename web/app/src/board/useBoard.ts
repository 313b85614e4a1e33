import { useRows } from '@tidegate/client/react'
import { useEffect, useMemo, useState } from 'react'
import { type Category, type Entry, ENTRY_COLUMNS, type Id, type State, type Transition } from '../api/tables'
import { useWorkspace } from '../api/workspace'
import { say } from '../design/toasts'
import { BoardStore } from './store'

const ofBoard = (board: Id) => ({ where: 'board_id = $1', params: [board] })

export function useEntries(board: Id) {
  const { tide } = useWorkspace()
  return tide.rows<Entry>('public.entries', { ...ofBoard(board), columns: ENTRY_COLUMNS })
}

export function useStates(board: Id): readonly State[] {
  const { tide } = useWorkspace()
  const { rows } = useRows(tide.rows<State>('public.workflow_states', ofBoard(board)))
  return useMemo(() => [...rows.values()].sort((a, b) => a.ordinal - b.ordinal || Number(a.id) - Number(b.id)), [rows])
}

export function useTransitions(board: Id): ReadonlyMap<string, Transition> {
  const { tide } = useWorkspace()
  return useRows(tide.rows<Transition>('public.workflow_transitions', ofBoard(board))).rows
}

export function useCategories(board: Id): ReadonlyMap<string, Category> {
  const { tide } = useWorkspace()
  return useRows(tide.rows<Category>('public.categories', ofBoard(board))).rows
}

/** How many comments each card has: kept with every change, and never counted anew. */
export function useCommentCounts(board: Id): ReadonlyMap<Id, number> {
  const { tide } = useWorkspace()
  const [counts, setCounts] = useState<ReadonlyMap<Id, number>>(new Map())
  useEffect(() => {
    const rows = tide.rows<{ id: Id; entry_id: Id }>('public.comments', { ...ofBoard(board), columns: ['id', 'entry_id', 'board_id'] })
    let counted = new Map<Id, number>()
    let frame = 0
    const add = (entry: Id, step: number) => counted.set(entry, (counted.get(entry) ?? 0) + step)
    const stop = rows.subscribe((all, { reset, changes }) => {
      if (reset) {
        counted = new Map()
        for (const { entry_id } of all.values()) add(entry_id, 1)
      }
      for (const change of reset ? [] : changes) {
        if (change.op === 'insert') add(change.row.entry_id, 1)
        else if (change.op === 'delete' && change.before) add(change.before.entry_id, -1)
      }
      frame ||= requestAnimationFrame(() => {
        frame = 0
        setCounts(new Map(counted))
      })
    })
    return () => {
      stop()
      cancelAnimationFrame(frame)
    }
  }, [tide, board])
  return counts
}

export function useBoardStore(board: Id): BoardStore {
  const { tide, api } = useWorkspace()
  const rows = useEntries(board)
  const store = useMemo(() => new BoardStore(rows, { tide, api, refused: (words) => say(words, 'bad') }), [rows, tide, api])
  useEffect(() => store.start(), [store])
  return store
}
