import type { Rows, RowsState } from '@tidegate/client'
import { useRows } from '@tidegate/client/react'
import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import type { Id } from './tables'

const PAGE = 50
/** How many rows one can look back here. */
const HELD = 5_000

export interface Paged<R> {
  rows: readonly R[]
  state: RowsState
  /** Whether there are older ones. */
  more: boolean
  loading: boolean
  /** The last ones could not be had: they are asked for again when somebody wants them. */
  failed: boolean
  older: () => Promise<void>
}

/** The newest rows of a bounded snapshot, live, and behind them older ones, read page by page; in `order`, the newest first. */
export function usePaged<R extends { id: Id }>(rows: Rows<R> | null, order: (a: R, b: R) => number): Paged<R> {
  const { rows: newest, state } = useRows(rows)
  const [past, setPast] = useState<ReadonlyMap<Id, R>>(new Map())
  const [more, setMore] = useState(true)
  const [loading, setLoading] = useState(false)
  const [failed, setFailed] = useState(false)

  const all = useMemo(() => [...new Map([...past, ...byId(newest.values())]).values()].sort(order), [newest, past, order])

  useEffect(() => {
    const forget = () => {
      setPast(new Map())
      setMore(true)
    }
    forget()
    return rows?.subscribe((_, { reset, changes }) => {
      // Between the newest ones of now and what was read before there may be others.
      if (reset) return forget()
      const behind = changes.flatMap((change) => (change.op === 'delete' && change.behind && change.before ? change.before : []))
      const gone = changes.flatMap((change) => (change.op === 'delete' && !change.behind ? change.key : []))
      if (behind.length + gone.length > 0) setPast((past) => (past.size > 0 ? without(gone, joined(behind, past, order)) : past))
    })
  }, [rows, order])

  // Whatever it was that failed, another line may do.
  useEffect(() => setFailed(false), [rows, state])

  const [last, held] = [all.at(-1), all.length]
  const current = useRef(rows)
  current.current = rows
  const older = useCallback(async () => {
    if (!rows) return
    setLoading(true)
    try {
      const page = await rows.page(PAGE, last)
      // Those of something else may be looked at by now.
      if (current.current === rows) {
        setPast((past) => new Map([...past, ...byId(page.rows)]))
        setMore(!page.last && held + page.rows.length < HELD)
        setFailed(false)
      }
    } catch {
      setFailed(true)
    }
    setLoading(false)
  }, [rows, last, held])

  return { rows: all, state, more, loading, failed, older }
}

const byId = <R extends { id: Id }>(rows: Iterable<R>): [Id, R][] => Array.from(rows, (row) => [row.id, row])

/** With those that have lost their place among the newest; the oldest are let go where there are too many. */
function joined<R extends { id: Id }>(behind: readonly R[], past: ReadonlyMap<Id, R>, order: (a: R, b: R) => number): ReadonlyMap<Id, R> {
  if (behind.length === 0) return past
  const all = new Map([...past, ...byId(behind)])
  return all.size <= HELD ? all : new Map(byId([...all.values()].sort(order).slice(0, HELD)))
}

function without<R>(gone: readonly Id[], past: ReadonlyMap<Id, R>): ReadonlyMap<Id, R> {
  if (!gone.some((id) => past.has(id))) return past
  const rest = new Map(past)
  for (const id of gone) rest.delete(id)
  return rest
}
