import { useRows } from '@tidegate/client/react'
import { useEffect, useMemo, useRef, useState } from 'react'
import type uPlot from 'uplot'
import { Link, useLocation } from 'wouter'
import { useSeries } from '../api/series'
import type { Category, Definition, Id, Resolution, Series, State } from '../api/tables'
import { useBoards, usePeople, useWorkspace } from '../api/workspace'
import { useMinute } from '../app/useMinute'
import { useTitle } from '../app/useTitle'
import { BoardPicker } from '../design/BoardPicker'
import { Bones, Empty } from '../design/Empty'
import { Icon } from '../design/icons'
import { Choice } from './Choice'
import { Count } from './Count'
import { NoHistory, Table } from './Frame'
import { Past } from './Past'
import { aligned, momentName, type Period, RESOLUTIONS, upToNow } from './series'
import { amount } from './units'
import { useDefinitions, useNow } from './useMeasures'
import './measure.css'

const PERIODS: readonly { value: Period; name: string }[] = [
  { value: 'day', name: 'Day' },
  { value: 'week', name: 'Week' },
  { value: 'month', name: 'Month' },
  { value: 'year', name: 'Year' },
]

const STEPS: Record<Resolution, string> = { raw: 'As it came', hour: 'By hour', day: 'By day', month: 'By month' }

/** What a measure of a board came to over the time. */
export default function MeasurePage({ board, kpi }: { board: Id; kpi: string }) {
  const definitions = useDefinitions()
  const definition = definitions.get(kpi)
  const boards = useBoards().rows
  const heading = useRef<HTMLHeadingElement>(null)
  const [, go] = useLocation()
  const name = boards.get(board)?.name
  useTitle(definition && `${definition.title} · ${name ?? ''}`)
  // Whoever came by the keyboard goes on from here.
  useEffect(() => heading.current?.focus(), [definition?.name])

  if (!definition && definitions.size > 0) return <Empty icon="wave" title="Nothing here" />
  if (!definition) {
    return (
      <div className="page page-bones">
        <Bones count={1} height={420} />
      </div>
    )
  }
  return (
    <div className="page measure-page" data-measure={kpi}>
      <header className="page-head">
        <Link href={`/dashboard/${board}`} className="button" data-kind="quiet" data-icon="" aria-label="Back to the dashboard" title="Back to the dashboard">
          <Icon name="back" />
        </Link>
        <h1 ref={heading} tabIndex={-1}>
          {definition.title}
        </h1>
        <BoardPicker board={board} onBoard={(board) => go(board ? `/dashboard/${board}/${kpi}` : '/dashboard')} />
      </header>
      <Measured key={`${board} ${kpi}`} board={board} definition={definition} />
    </div>
  )
}

function Measured({ board, definition }: { board: Id; definition: Definition }) {
  const { name: kpi, title, unit, description, computed_at } = definition
  const values = useNow(board, kpi)
  const value = values.get('')
  const minute = useMinute()
  const [period, setPeriod] = useState<Period>('week')
  const [chosen, setChosen] = useState<Resolution>('hour')
  const [asTable, setAsTable] = useState(false)
  const steps = RESOLUTIONS[period]
  const resolution = steps.includes(chosen) ? chosen : steps[0]
  const { answer, failed } = useSeries({ kpi, board, period, resolution, turn: `${computed_at} ${resolution === 'raw' ? minute : ''}` })
  const nameOf = useItemNames(board, definition)
  const series = useMemo(() => answer && largest(answer.series), [answer])
  const past = useMemo(() => series && aligned(series), [series])
  const items = useMemo(() => (series ?? []).map(({ item }) => item), [series])
  const data = useMemo(() => past && upToNow(past, items, values, Math.floor(Date.now() / 1_000)), [past, items, values, minute])
  const lines = useMemo(() => (series ?? []).map((one) => ({ name: nameOf(one.item), colour: colourOf(one.item, answer?.series.indexOf(one) ?? 0) })), [answer, series, nameOf])

  const isThere = data !== null && data[0].length > 0

  const choose = (period: Period) => {
    setPeriod(period)
    setChosen(RESOLUTIONS[period][0])
  }

  return (
    <>
      <p className="soft measure-about">{inCode(description)}</p>
      <section className="panel measure" aria-label={title}>
        <div className="measure-head">
          <div className="measure-now">
            {value !== undefined && (
              <>
                <Count value={value} unit={unit} />
                <span className="faint">now</span>
              </>
            )}
          </div>
          <Choice label="Period" value={period} choices={PERIODS} onChoice={choose} />
          <Choice label="Resolution" value={resolution} choices={steps.map((value) => ({ value, name: STEPS[value] }))} onChoice={setChosen} />
          {isThere && (
            <button type="button" className="button" data-kind="quiet" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
              Table
            </button>
          )}
        </div>
        {!answer || !data ? (
          failed ? <Empty icon="off" title="Not there right now" /> : <Bones count={1} height={320} />
        ) : !isThere ? (
          <NoHistory />
        ) : asTable ? (
          <Table title={title} columns={lines.length > 1 ? lines.map(({ name }) => name) : []} rows={rowsOf(data, past?.[0].length ?? 0, unit, answer.resolution)} />
        ) : (
          <Past title={title} about={period} lines={lines} data={data} unit={unit} resolution={answer.resolution} />
        )}
      </section>
    </>
  )
}

/** Lines that an eye can tell apart. */
const MOST = 12

/** The parts that are largest now. */
function largest(series: readonly Series[]): Series[] {
  const now = ({ points }: Series) => points.at(-1)?.[1] ?? 0
  return series.filter(({ points }) => points.length > 0).sort((a, b) => now(b) - now(a)).slice(0, MOST)
}

function colourOf(item: string, index: number): string {
  if (item === '') return 'var(--accent)'
  const hue = (index * 137.5 + 210) % 360
  return item === '-' ? 'var(--faint)' : `light-dark(oklch(0.6 0.13 ${hue}), oklch(0.76 0.12 ${hue}))`
}

/** As many as somebody reads; who wants fewer and farther takes another resolution. */
const ROWS = 1_000

/** The newest first; behind so many moments of the past it is now. */
function rowsOf([moments, ...values]: uPlot.AlignedData, past: number, unit: Definition['unit'], resolution: Resolution) {
  const indices = Array.from(moments, (_, index) => index).reverse().slice(0, ROWS)
  return indices.map((index) => ({
    name: index < past ? momentName(moments[index] ?? 0, resolution) : 'Now',
    cells: values.map((line) => {
      const value = line[index]
      return typeof value === 'number' ? amount(value, unit) : '–'
    }),
  }))
}

/** What stands between backticks is code. */
const inCode = (text: string) => text.split('`').map((part, index) => (index % 2 === 1 ? <code key={index}>{part}</code> : part))

function useItemNames(board: Id, { title, dimension }: Definition): (item: string) => string {
  const { tide } = useWorkspace()
  const ofBoard = { where: 'board_id = $1', params: [board] }
  const people = usePeople()
  const { rows: states } = useRows(dimension === 'state' ? tide.rows<State>('public.workflow_states', ofBoard) : null)
  const { rows: categories } = useRows(dimension === 'category' ? tide.rows<Category>('public.categories', ofBoard) : null)
  return useMemo(() => {
    const named: ReadonlyMap<string, { name: string }> = dimension === 'state' ? states : dimension === 'category' ? categories : people
    return (item) => {
      if (item === '') return title
      if (item === '-') return dimension === 'category' ? 'No category' : 'Nobody'
      return named.get(item)?.name ?? item
    }
  }, [title, dimension, states, categories, people])
}
