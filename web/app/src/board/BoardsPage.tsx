import { useRows } from '@tidegate/client/react'
import { useMemo, useRef, useState } from 'react'
import { Link, useLocation } from 'wouter'
import { createBoard } from '../api/commands'
import { useChart, useSlowly } from '../api/chart'
import type { Board, Counted, Kpi, Member } from '../api/tables'
import { useBoards, useMaking, useMayChange, usePeople, useWorkspace } from '../api/workspace'
import { hueOf } from '../app/hue'
import { Count } from '../dashboard/Count'
import { lineOf } from '../dashboard/kpis'
import { Sparkline } from '../dashboard/Sparkline'
import { useCounted, useValues, valueKey } from '../dashboard/useMeasures'
import { Avatar } from '../design/Avatar'
import { Dialog } from '../design/Dialog'
import { Bones, Empty } from '../design/Empty'
import { Icon } from '../design/icons'
import { JustNow } from '../activity/JustNow'
import { useInSight } from '../app/useInSight'
import { useTitle } from '../app/useTitle'
import './boards.css'

/** One's boards. */
export default function BoardsPage() {
  const { tide } = useWorkspace()
  useTitle('Boards')
  const { rows, state } = useBoards()
  const kpis = useValues()
  const counted = useCounted()
  const { rows: members } = useRows(tide.rows<Member>('public.board_members'))
  const [founding, setFounding] = useState(false)
  const boards = useMemo(() => [...rows.values()].sort((a, b) => a.name.localeCompare(b.name)), [rows])
  const mayFound = useMayChange()

  return (
    <div className="page">
      <header className="page-head">
        <h1>Boards</h1>
        {mayFound && (
          <button type="button" className="button" data-kind="loud" onClick={() => setFounding(true)}>
            <Icon name="plus" size={16} />
            New board
          </button>
        )}
      </header>
      {boards.length === 0 && (state === 'live' ? <Empty icon="board" title="No boards yet" /> : <Bones count={3} height={132} />)}
      <ul className="boards">
        {boards.map((board) => (
          <BoardTile key={board.id} board={board} kpis={kpis} counted={counted.get(board.id)} members={members} />
        ))}
      </ul>
      {boards.length > 0 && <JustNow />}
      {founding && <NewBoard onClose={() => setFounding(false)} />}
    </div>
  )
}

const FACES = 5

interface TileProps {
  board: Board
  kpis: ReadonlyMap<string, Kpi>
  counted: Counted | undefined
  members: ReadonlyMap<string, Member>
}

function BoardTile({ board: { id, name, description }, kpis, counted, members }: TileProps) {
  const people = usePeople()
  const [open, throughput] = ['open', 'throughput'].map((kpi) => kpis.get(valueKey(id, kpi)))
  const belonging = [...members.values()].filter(({ board_id }) => board_id === id).map(({ user_id }) => people.get(user_id))
  return (
    <li className="board-tile panel" data-board={id}>
      <h2>
        <Link href={`/boards/${id}`}>
          <span className="nav-square" style={{ '--hue': hueOf(id) }} aria-hidden="true" />
          {name}
        </Link>
      </h2>
      <p className="soft board-tile-about">{description}</p>
      <div className="board-tile-figures">
        {open && (
          <p className="board-tile-open">
            <Count value={open.value} />
            <span>open</span>
          </p>
        )}
        {open && <Sparkline values={lineOf(open)} />}
      </div>
      <States board={id} turn={counted?.counted_at ?? ''} />
      <div className="board-tile-foot">
        <div className="stack">
          {belonging.slice(0, FACES).map((user, index) => (
            <Avatar key={user?.id ?? index} user={user} size={24} />
          ))}
        </div>
        {throughput && (
          <span className="faint">
            <Count value={throughput.value} /> done in 24 h
          </span>
        )}
      </div>
    </li>
  )
}

const SLOWLY_MS = 10_000

/** How its cards are spread over the columns: asked for while somebody can see it. */
function States({ board, turn }: { board: string; turn: string }) {
  const place = useRef<HTMLDivElement>(null)
  const isInSight = useInSight(place)
  const { points } = useChart(isInSight ? 'states' : null, { board, days: 1, turn: useSlowly(turn, SLOWLY_MS) })
  return (
    <div ref={place} className="board-tile-states" aria-hidden="true">
      {points?.map(({ x, y }, index) => y > 0 && <span key={x} style={{ flexGrow: y, '--shade': `${100 - (index / Math.max(1, points.length - 1)) * 75}%` }} />)}
    </div>
  )
}

function NewBoard({ onClose }: { onClose: () => void }) {
  const make = useMaking()
  const [, go] = useLocation()
  const [name, setName] = useState('')
  const [about, setAbout] = useState('')
  const [busy, setBusy] = useState(false)
  const found = async () => {
    setBusy(true)
    const reply = await make<Board>(JSON.stringify([name.trim(), about.trim()]), () => createBoard(name.trim(), about.trim()))
    setBusy(false)
    if (reply) go(`/boards/${reply.row.id}`)
  }
  return (
    <Dialog title="New board" onClose={onClose}>
      <form
        className="dialog-form"
        data-draft={((name.trim() || about.trim()) && !busy) || undefined}
        onSubmit={(event) => {
          event.preventDefault()
          void found()
        }}
      >
        <label className="field">
          <span>Name</span>
          <input className="input" autoFocus required maxLength={200} value={name} onChange={({ target }) => setName(target.value)} />
        </label>
        <label className="field">
          <span>What it is for</span>
          <input className="input" maxLength={500} value={about} onChange={({ target }) => setAbout(target.value)} />
        </label>
        <div className="dialog-foot">
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button" data-kind="loud" disabled={busy || !name.trim()}>
            Create board
          </button>
        </div>
      </form>
    </Dialog>
  )
}
