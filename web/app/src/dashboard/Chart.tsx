import { useMemo } from 'react'
import uPlot from 'uplot'
import { type ChartName, useChart, type Which } from '../api/chart'
import type { ChartPoint } from '../api/tables'
import { Figure } from './Figure'
import { dayLabel, type Look, named, type Options, usePlot } from './plot'
import { steps } from './units'

interface Props extends Which {
  name: ChartName
  title: string
}

/** Amounts by day. */
export function Chart({ name, title, ...which }: Props) {
  const { points, failed } = useChart(name, which)
  return <Figure {...{ name, title, points, failed, label: dayLabel }}>{(points) => <Plot points={points} title={title} />}</Figure>
}

function Plot({ points, title }: { points: readonly ChartPoint[]; title: string }) {
  const data = useMemo<uPlot.AlignedData>(() => [points.map((_, index) => index), points.map(({ y }) => y)], [points])
  const days = points.map(({ x }) => x).join()
  const { place } = usePlot(data, (look) => optionsOf(look, points), days)
  const words = `${title}: ${points.reduce((sum, { y }) => sum + y, 0)} in ${points.length} days, ${points.at(-1)?.y ?? 0} today`
  return <div ref={place} className="plot" role="img" aria-label={words} />
}

function optionsOf({ colour, x, y }: Look, points: readonly ChartPoint[]): Options {
  const accent = colour('var(--accent)')
  const paths = uPlot.paths.bars?.({ size: [0.62, 36], radius: 0.2 })
  return {
    legend: { show: false },
    padding: [10, 6, 0, 0],
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7, fill: accent, stroke: accent } },
    scales: {
      x: { time: false, range: (_, low, high) => [low - 0.5, high + 0.5] },
      y: { range: (_, __, high) => [0, Math.max(4, high * 1.12)] },
    },
    axes: [named(x, (index) => dayLabel(points[index]?.x)), { ...y, incrs: steps('cards') }],
    series: [{}, { stroke: accent, width: 0, fill: accent, points: { show: false }, ...(paths && { paths }) }],
    hooks: { init: [(drawn) => tip(drawn, (index) => dayLabel(points[index]?.x))] },
  }
}

/** Tells at the cursor what stands there. */
function tip(drawn: uPlot, nameOf: (index: number) => string): void {
  const box = document.createElement('div')
  box.className = 'plot-tip'
  drawn.over.append(box)
  const show = () => {
    const { idx, left = 0 } = drawn.cursor
    const value = typeof idx === 'number' ? drawn.data[1]?.[idx] : undefined
    box.hidden = typeof value !== 'number' || left < 0
    if (typeof value !== 'number' || typeof idx !== 'number') return
    box.textContent = `${nameOf(idx)} · ${value}`
    box.style.left = `${drawn.valToPos(idx, 'x')}px`
    box.style.top = `${drawn.valToPos(value, 'y')}px`
  }
  box.hidden = true
  drawn.over.addEventListener('mousemove', () => requestAnimationFrame(show))
  drawn.over.addEventListener('mouseleave', () => (box.hidden = true))
}
