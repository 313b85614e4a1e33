import { useMemo, useState } from 'react'
import { useLocation } from 'wouter'
import { useSlowly } from '../api/chart'
import type { Counted, Id } from '../api/tables'
import { useBoards, usePeople } from '../api/workspace'
import { useTitle } from '../app/useTitle'
import { Avatar } from '../design/Avatar'
import { BoardPicker } from '../design/BoardPicker'
import { Bones } from '../design/Empty'
import { Bars } from './Bars'
import { Chart } from './Chart'
import { Choice } from './Choice'
import { FlowChart } from './FlowChart'
import { measures } from './kpis'
import { Tile } from './Tile'
import { useCounted, useDefinitions, useValues } from './useMeasures'
import './dashboard.css'

const SPANS = [7, 30, 90].map((value) => ({ value, name: `${value} days` }))
/** Charts are asked for again at most so often. */
const PAUSE_MS = 1_000

/** How it goes, in figures that move. */
export default function DashboardPage({ board: named }: { board?: string | undefined }) {
  useTitle('Dashboard')
  const [, go] = useLocation()
  const [days, setDays] = useState(7)
  const board = useOne(named)
  const definitions = useDefinitions()
  const values = useValues()
  const tiles = useMemo(() => measures(values.values(), definitions, board), [values, definitions, board])
  const people = usePeople()
  const turn = useSlowly(newest(useCounted(), board), PAUSE_MS)

  const which = { board, days, turn }
  const pastOf = (kpi: string) => (board ? `/dashboard/${board}/${kpi}` : undefined)
  return (
    <div className="page dashboard" data-dashboard={board ?? 'all'}>
      <header className="page-head">
        <h1>Dashboard</h1>
        <Choice label="Period" value={days} choices={SPANS} onChoice={setDays} />
        <BoardPicker board={board} onBoard={(board) => go(board ? `/dashboard/${board}` : '/dashboard')} />
      </header>
      <section aria-label="Measures" className="tiles">
        {tiles.length === 0 && <Bones count={1} height={112} />}
        {tiles.map((measure) => (
          <Tile key={measure.definition.name} measure={measure} to={pastOf(measure.definition.name) ?? null} />
        ))}
      </section>
      <div className="charts">
        <Chart name="created" title="Created by day" {...which} />
        <Chart name="throughput" title="Finished by day" {...which} />
        {board && <FlowChart history={`/dashboard/${board}/entries_by_state`} board={board} days={days} turn={definitions.get('entries_by_state')?.computed_at ?? ''} />}
        <Bars name="states" title="Cards by state" label={(x) => x ?? '–'} {...which} />
        <Bars name="categories" title="Open cards by category" label={(x) => x ?? 'No category'} history={pastOf('entries_by_category')} {...which} />
        <Bars
          name="assignees"
          title="Open cards by person"
          label={(x) => (x ? (people.get(x)?.name ?? x) : 'Nobody')}
          face={(x) => <Avatar user={x ? people.get(x) : undefined} size={22} silent />}
          history={pastOf('entries_by_assignee')}
          {...which}
        />
        <Chart name="activity" title="Activity by day" {...which} />
      </div>
    </div>
  )
}

/** The board that is named, or the only one there is; null for several together. */
function useOne(named: Id | undefined): Id | null {
  const { rows } = useBoards()
  if (named) return named
  const [only] = rows.keys()
  return rows.size === 1 && only ? only : null
}

/** Another text whenever one of them was counted. */
function newest(counted: ReadonlyMap<Id, Counted>, board: Id | null): string {
  if (board) return counted.get(board)?.counted_at ?? ''
  return [...counted.values()].map(({ counted_at }) => counted_at).join()
}
