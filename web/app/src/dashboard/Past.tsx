import { useEffect, useRef, useState } from 'react'
import uPlot from 'uplot'
import type { Resolution, Unit } from '../api/tables'
import { Icon, type IconName } from '../design/icons'
import { Legend, pointAt } from './Legend'
import { type Look, type Options, usePlot } from './plot'
import { axisNames, isByDay, momentName, valuesAt } from './series'
import { isNear, move, renew, steer, wholeOf, zoom } from './steer'
import { amount, steps } from './units'

/** A line, and what it is of. */
export interface Line {
  name: string
  colour: string
}

interface Props {
  title: string
  /** Of something else all of it is shown, whatever part was looked at before. */
  about: string
  lines: readonly Line[]
  data: uPlot.AlignedData
  unit: Unit
  resolution: Resolution
}

const WAYS: readonly { icon: IconName; name: string; go: (drawn: uPlot) => void; needsNear: boolean }[] = [
  { icon: 'back', name: 'Earlier', go: (drawn) => move(drawn, -0.5), needsNear: true },
  { icon: 'next', name: 'Later', go: (drawn) => move(drawn, 0.5), needsNear: true },
  { icon: 'minus', name: 'Zoom out', go: (drawn) => zoom(drawn, 2), needsNear: true },
  { icon: 'plus', name: 'Zoom in', go: (drawn) => zoom(drawn, 0.5), needsNear: false },
  { icon: 'whole', name: 'All of it', go: (drawn) => drawn.setScale('x', wholeOf(drawn)), needsNear: true },
]

/** What was measured over the time, to go about in. */
export function Past({ title, about, lines, data, unit, resolution }: Props) {
  const legend = useRef<HTMLDivElement>(null)
  const [near, setNear] = useState(false)
  const [hidden, setHidden] = useState<ReadonlySet<number>>(new Set())
  const told = (at: number) => ({ moment: momentName(at, resolution), values: valuesAt(data, at).map((value) => (value === null ? '–' : amount(value, unit))) })
  const latest = useRef({ told, lines, hidden })
  latest.current = { told, lines, hidden }

  const { place, plot } = usePlot(
    data,
    (look) => ({
      ...optionsOf(look, unit, resolution),
      series: [{}, ...latest.current.lines.map(({ colour }, index) => seriesOf(look, colour, lines.length === 1, !latest.current.hidden.has(index)))],
      hooks: {
        init: [steer],
        setScale: [(drawn, scale) => scale === 'x' && setNear(isNear(drawn))],
        setCursor: [(drawn) => pointAt(legend.current, typeof drawn.cursor.idx === 'number' ? latest.current.told(drawn.posToVal(drawn.cursor.left ?? 0, 'x')) : null)],
      },
    }),
    JSON.stringify([about, lines, unit, resolution]),
    renew,
  )
  useEffect(() => setHidden(new Set()), [lines.length])

  const hide = (index: number) => {
    const next = new Set(hidden)
    if (!next.delete(index)) next.add(index)
    setHidden(next)
    plot.current?.setSeries(index + 1, { show: !next.has(index) })
  }

  const last = told(data[0].at(-1) ?? 0)
  const items = lines.map((line, index) => ({ ...line, value: last.values[index] ?? '–' }))
  const words = `${title}, ${momentName(data[0][0] ?? 0, resolution)} to ${last.moment}: ${items.map(({ name, value }) => (lines.length === 1 ? value : `${name} ${value}`)).join(', ')} at the end`
  return (
    <>
      <div ref={place} className="plot plot-past" data-near={near || undefined} role="img" aria-label={words} />
      <div className="past-foot">
        <Legend ref={legend} items={items} moment={last.moment} {...(lines.length > 1 && { hidden, onHide: hide })} />
        <div className="past-ways" role="group" aria-label="Part of it">
          {WAYS.map(({ icon, name, go, needsNear }) => (
            <button key={icon} type="button" className="button" data-kind="quiet" data-icon="" aria-label={name} title={name} disabled={needsNear && !near} onClick={() => plot.current && go(plot.current)}>
              <Icon name={icon} size={16} />
            </button>
          ))}
        </div>
      </div>
    </>
  )
}

/** What the axis shows at least, where little or nothing happens. */
const LEAST: Record<Unit, number> = { cards: 4, activities: 4, seconds: 60, share: 1, number: 1 }

function optionsOf({ x, y }: Look, unit: Unit, resolution: Resolution): Omit<Options, 'series'> {
  return {
    legend: { show: false },
    padding: [10, 12, 0, 0],
    ...(isByDay(resolution) && { tzDate: (at: number) => uPlot.tzDate(new Date(at * 1_000), 'Etc/UTC') }),
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    scales: {
      x: { range: (drawn, low, high) => (low === high ? Object.values(wholeOf(drawn)) as [number, number] : [low, high]) },
      y: { range: (_, low, high) => [Math.min(0, (low ?? 0) * 1.1), unit === 'share' ? 1 : Math.max(LEAST[unit], (high ?? 0) * 1.1)] },
    },
    axes: [
      { ...x, space: 72, values: (_, moments, __, ___, step) => axisNames(moments, step, resolution) },
      { ...y, size: 52, incrs: steps(unit), values: (_, values) => values.map((value) => (value === 0 ? '0' : amount(value, unit))) },
    ],
  }
}

/** It holds until it is another. */
function seriesOf({ colour }: Look, css: string, isAlone: boolean, show: boolean): uPlot.Series {
  const paths = uPlot.paths.stepped?.({ align: 1 })
  return {
    show,
    stroke: colour(css),
    width: 1.75,
    ...(isAlone && { fill: colour(`color-mix(in oklch, ${css} 12%, transparent)`) }),
    points: { show: false },
    ...(paths && { paths }),
  }
}
