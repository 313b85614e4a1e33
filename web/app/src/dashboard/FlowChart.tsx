import { useMemo, useRef } from 'react'
import type uPlot from 'uplot'
import { useFlow, type Which } from '../api/chart'
import { number } from '../design/texts'
import { Frame, Table } from './Frame'
import { Legend, pointAt } from './Legend'
import { dayLabel, type Look, named, type Options, usePlot } from './plot'
import { type Flow, flowOf, stacked } from './series'
import { steps } from './units'

const TITLE = 'Cumulative flow'

/** How many cards stood in each state, day by day, one on top of the other. */
export function FlowChart({ history, ...which }: Which & { history: string }) {
  const { answer, failed } = useFlow(which)
  const flow = useMemo(() => answer && flowOf(answer.points), [answer])
  const state = !flow ? (failed ? 'failed' : 'loading') : flow.days.length === 0 ? 'empty' : 'here'
  return (
    <Frame name="flow" title={TITLE} wide history={history} state={state} table={() => flow && <FlowTable flow={flow} />}>
      {() => flow && <Stack flow={flow} />}
    </Frame>
  )
}

function FlowTable({ flow: { days, states } }: { flow: Flow }) {
  const rows = days.map((day, index) => ({ name: dayLabel(day), cells: states.map(({ counts }) => number(counts[index] ?? 0)) }))
  return <Table title={TITLE} columns={states.map(({ name }) => name)} rows={rows} />
}

/** As on a board's tile. */
const shade = (index: number, count: number) => `color-mix(in oklch, var(--accent) ${100 - (index / Math.max(1, count - 1)) * 75}%, var(--well))`

function Stack({ flow }: { flow: Flow }) {
  const { days, states } = flow
  const legend = useRef<HTMLDivElement>(null)
  const data = useMemo(() => stacked(flow), [flow])
  const latest = useRef(flow)
  latest.current = flow
  const pointed = (index: number | null) => {
    const { days, states } = latest.current
    pointAt(legend.current, index === null ? null : { moment: dayLabel(days[index]), values: states.map(({ counts }) => number(counts[index] ?? 0)) })
  }
  const { place } = usePlot(data, (look) => optionsOf(look, flow, pointed), JSON.stringify([days, states.map(({ name }) => name)]))
  const items = states.map(({ name, counts }, index) => ({ name, colour: shade(index, states.length), value: number(counts.at(-1) ?? 0) }))
  const words = `${TITLE}: ${items.map(({ name, value }) => `${name} ${value}`).join(', ')}`
  return (
    <>
      <div ref={place} className="plot plot-flow" role="img" aria-label={words} />
      <Legend ref={legend} items={items} moment={dayLabel(days.at(-1))} />
    </>
  )
}

function optionsOf({ colour, x, y }: Look, { days, states }: Flow, pointed: (index: number | null) => void): Options {
  const edge = colour('var(--surface)')
  return {
    legend: { show: false },
    padding: [10, 22, 0, 0],
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    scales: {
      x: { time: false },
      y: { range: (_, __, high) => [0, Math.max(4, high * 1.06)] },
    },
    axes: [named(x, (index) => dayLabel(days[index])), { ...y, incrs: steps('cards') }],
    series: [{}, ...states.map((_, index): uPlot.Series => ({ stroke: edge, width: 1.5, fill: colour(shade(index, states.length)), points: { show: days.length === 1 } }))],
    hooks: { setCursor: [({ cursor: { idx } }) => pointed(idx ?? null)] },
  }
}
