import { lazy, Suspense, useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { Link, useLocation } from 'wouter'
import type { Id } from '../api/tables'
import { LAST_BOARD, useBoards, useMembers, usePeople, useRights, useWorkspace } from '../api/workspace'
import { useTitle } from '../app/useTitle'
import { useWire } from '../app/useWire'
import { Empty } from '../design/Empty'
import { Icon } from '../design/icons'
import { say } from '../design/toasts'
import { FilterBar } from './FilterBar'
import { EVERYTHING, type Filter } from './filter'
import { Lanes } from './Lanes'
import { LanesBones } from './LanesBones'
import { useBoardStore, useCategories, useCommentCounts, useEntries, useStates, useTransitions } from './useBoard'
import { useMovers } from './useMovers'
import './board.css'
import './card.css'

const EntryDialog = lazy(() => import('./detail/EntryDialog'))
const SettingsDialog = lazy(() => import('./settings/SettingsDialog'))

interface Props {
  board: Id
  entry?: Id | undefined
  settings?: boolean
}

export default function BoardPage({ board: id, entry, settings = false }: Props) {
  const [, go] = useLocation()
  const { person } = useWorkspace()
  const boards = useBoards()
  const board = boards.rows.get(id)
  const people = usePeople()
  const members = useMembers(id)
  const rights = useRights(id)
  const states = useStates(id)
  const transitions = useTransitions(id)
  const categories = useCategories(id)
  const comments = useCommentCounts(id)
  const store = useBoardStore(id)
  const mover = useMovers(id, people)
  const [filter, setFilter] = useState<Filter>(EVERYTHING)
  const close = useCallback(() => go(`/boards/${id}`), [go, id])

  useWire(useEntries(id), 'entries')
  useGone(board?.name, boards.state, () => go('/boards'))

  useEffect(() => localStorage.setItem(LAST_BOARD, id), [id])
  useTitle(board?.name)

  const answering = useMemo(() => {
    const ids = new Set([...members.rows.values()].map(({ user_id }) => user_id))
    // Where nobody signs in there are no members, and whoever answers for something is shown.
    const belonging = ids.size > 0 ? [...people.values()].filter((user) => ids.has(user.id)) : [...people.values()]
    return belonging.sort((a, b) => a.name.localeCompare(b.name))
  }, [members.rows, people])

  if (!board && boards.state === 'live') {
    return (
      <Empty icon="lock" title="No such board for you">
        <Link href="/boards" className="button">
          All boards
        </Link>
      </Empty>
    )
  }

  return (
    <div className="board-page" data-board={id}>
      <header className="page-head board-head">
        <div className="board-name">
          <div className="board-title">
            <h1 className="cut">{board?.name ?? ' '}</h1>
            {person && members.state === 'live' && !rights.edit && <span className="tag">Viewing</span>}
          </div>
          {board?.description && <p className="cut soft">{board.description}</p>}
        </div>
        <FilterBar board={id} store={store} filter={filter} onFilter={setFilter} people={answering} categories={categories} />
        {person && (
          <Link href={`/boards/${id}/settings`} className="button" data-kind="quiet" data-icon="" aria-label="Board settings" title="Board settings">
            <Icon name="gear" />
          </Link>
        )}
      </header>
      {states.length === 0 ? (
        <LanesBones />
      ) : (
        <Lanes {...{ store, states, transitions, filter, people, categories, comments, mover }} mayEdit={rights.edit} isAdmin={rights.admin} />
      )}
      <Suspense fallback={null}>
        {entry && <EntryDialog key={entry} board={id} entry={entry} store={store} onClose={close} />}
        {settings && <SettingsDialog board={id} onClose={close} />}
      </Suspense>
    </div>
  )
}

/** A board that one was on and is not any more leaves the screen, and says so. */
function useGone(name: string | undefined, state: string, leave: () => void): void {
  const last = useRef<string | null>(null)
  useEffect(() => {
    if (name) last.current = name
    else if (last.current && state === 'live') {
      say(`You are no longer on “${last.current}”.`)
      last.current = null
      leave()
    }
  })
}
