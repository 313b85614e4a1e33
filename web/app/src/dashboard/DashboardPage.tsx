import { useRows } from '@tidegate/client/react'
import { useCallback, useMemo, useState } from 'react'
import { useLocation } from 'wouter'
import { useTurns } from '../api/chart'
import type { Kpi } from '../api/tables'
import { usePeople, useWorkspace } from '../api/workspace'
import { BoardPicker } from '../design/BoardPicker'
import { Avatar } from '../design/Avatar'
import { Bones } from '../design/Empty'
import { Icon } from '../design/icons'
import { number } from '../design/texts'
import { Bars } from './Bars'
import { Chart } from './Chart'
import { Count } from './Count'
import { type Measure, measures } from './kpis'
import { Sparkline } from './Sparkline'
import { useTitle } from '../app/useTitle'
import './dashboard.css'

const SPANS = [7, 30, 90] as const

/** How it goes, in figures that move. */
export default function DashboardPage({ board: named }: { board?: string | undefined }) {
  const { tide } = useWorkspace()
  useTitle('Dashboard')
  const [, go] = useLocation()
  const [days, setDays] = useState<number>(7)
  const board = named ?? null
  const { rows: kpis } = useRows(tide.rows<Kpi>('public.kpi_values', { delivery: 'latest', intervalMs: 500 }))
  const tiles = useMemo(() => measures(kpis.values(), board), [kpis, board])
  const people = usePeople()

  const happenings = tide.rows('public.activities', { snapshot: false, columns: ['id', 'board_id'], ...(board && { where: 'board_id = $1', params: [board] }) })
  // Whatever is done on a board writes an activity: that is when charts are worth another look.
  const turn = useTurns(useCallback((told: () => void) => happenings.subscribe((_, { changes }) => changes.length > 0 && told()), [happenings]))

  const shared = { board, days, turn }
  return (
    <div className="page dashboard" data-dashboard={board ?? 'all'}>
      <header className="page-head">
        <h1>Dashboard</h1>
        <div className="spans" role="radiogroup" aria-label="Period">
          {SPANS.map((span) => (
            <label key={span}>
              <input type="radio" name="span" checked={days === span} onChange={() => setDays(span)} />
              <span>{span} days</span>
            </label>
          ))}
        </div>
        <BoardPicker board={board} onBoard={(board) => go(board ? `/dashboard/${board}` : '/dashboard')} />
      </header>
      <section aria-label="Measures" className="tiles">
        {tiles.length === 0 && <Bones count={1} height={112} />}
        {tiles.map((measure) => (
          <Tile key={measure.kpi} measure={measure} />
        ))}
      </section>
      <div className="charts">
        <Chart name="throughput" title="Finished by day" {...shared} />
        <Chart name="activity" title="Activity by day" {...shared} />
        <Bars name="states" title="Cards by state" label={(x) => x ?? '–'} {...shared} />
        <Bars
          name="assignees"
          title="Open cards by person"
          label={(x) => (x ? (people.get(x)?.name ?? x) : 'Nobody')}
          face={(x) => <Avatar user={x ? people.get(x) : undefined} size={22} silent />}
          {...shared}
        />
      </div>
    </div>
  )
}

function Tile({ measure: { kpi, name, value, recent, change } }: { measure: Measure }) {
  return (
    <article className="tile panel" data-kpi={kpi}>
      <h2>{name}</h2>
      <p className="tile-figure">
        <Count value={value} />
        {change !== 0 && (
          <span className="tile-change" title="Against a moment ago">
            <Icon name={change > 0 ? 'up' : 'down'} size={13} />
            {number(Math.abs(change))}
          </span>
        )}
      </p>
      <Sparkline values={recent} />
    </article>
  )
}
