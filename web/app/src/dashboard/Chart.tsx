import { useEffect, useRef } from 'react'
import uPlot from 'uplot'
import { type ChartName, useChart } from '../api/chart'
import type { ChartPoint } from '../api/tables'
import { isDark, useTheme } from '../app/theme'
import { Figure } from './Figure'
import 'uplot/dist/uPlot.min.css'

interface Props {
  name: ChartName
  title: string
  board: string | null
  days: number
  turn: number
}

const DAY = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short', timeZone: 'UTC' })
const label = (x: string | null) => (x ? DAY.format(Date.parse(`${x}T00:00:00Z`)) : '–')

/** Amounts by day. */
export function Chart({ name, title, board, days, turn }: Props) {
  const { points, failed } = useChart(name, board, days, turn)
  return <Figure {...{ name, title, points, failed, label }}>{(points) => <Plot points={points} title={title} />}</Figure>
}

const HEIGHT = 188

function Plot({ points, title }: { points: readonly ChartPoint[]; title: string }) {
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const latest = useRef(points)
  latest.current = points
  const dark = isDark(useTheme())
  const count = points.length

  useEffect(() => {
    const element = place.current
    if (!element) return
    const drawn = new uPlot(optionsOf(element, () => latest.current), dataOf(latest.current), element)
    plot.current = drawn
    const watcher = new ResizeObserver(() => drawn.setSize({ width: element.clientWidth, height: HEIGHT }))
    watcher.observe(element)
    return () => {
      watcher.disconnect()
      drawn.destroy()
      plot.current = null
    }
    // Its colours are read when it is made.
  }, [dark, count])

  useEffect(() => plot.current?.setData(dataOf(points)), [points])

  const last = points.at(-1)
  const words = `${title}: ${points.reduce((sum, { y }) => sum + y, 0)} in ${count} days, ${last?.y ?? 0} today`
  return <div ref={place} className="plot" role="img" aria-label={words} />
}

function dataOf(points: readonly ChartPoint[]): uPlot.AlignedData {
  return [points.map((_, index) => index), points.map(({ y }) => y)]
}

function optionsOf(element: HTMLElement, points: () => readonly ChartPoint[]): uPlot.Options {
  const style = getComputedStyle(element)
  const colour = (property: string) => resolved(element, `var(${property})`)
  const font = `11px ${style.fontFamily}`
  const accent = colour('--accent')
  const axis = { stroke: colour('--faint'), font, ticks: { show: false } }
  const paths = uPlot.paths.bars?.({ size: [0.62, 36], radius: 0.2 })
  return {
    width: element.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    padding: [10, 6, 0, 0],
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7, fill: accent, stroke: accent } },
    scales: {
      x: { time: false, range: (_, low, high) => [low - 0.5, high + 0.5] },
      y: { range: (_, __, high) => [0, Math.max(4, high * 1.12)] },
    },
    axes: [
      { ...axis, grid: { show: false }, size: 26, space: 56, incrs: [1, 2, 5, 7, 10, 15, 30], values: (_, at) => at.map((index) => label(points()[index]?.x ?? null)) },
      { ...axis, grid: { stroke: colour('--line'), width: 1 }, size: 38, space: 40, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000] },
    ],
    series: [
      {},
      { stroke: accent, width: 0, fill: accent, points: { show: false }, ...(paths && { paths }) },
    ],
    hooks: { init: [(drawn) => tip(drawn, points)] },
  }
}

/** Canvases know no custom properties: what a colour is by now an element says. */
function resolved(element: HTMLElement, colour: string): string {
  const probe = document.createElement('span')
  probe.style.color = colour
  element.append(probe)
  const { color } = getComputedStyle(probe)
  probe.remove()
  return color
}

function tip(drawn: uPlot, points: () => readonly ChartPoint[]): void {
  const box = document.createElement('div')
  box.className = 'plot-tip'
  drawn.over.append(box)
  const show = () => {
    const { idx, left = 0 } = drawn.cursor
    const point = typeof idx === 'number' ? points()[idx] : undefined
    box.hidden = !point || left < 0
    if (!point || typeof idx !== 'number') return
    box.textContent = `${label(point.x)} · ${point.y}`
    box.style.left = `${drawn.valToPos(idx, 'x')}px`
    box.style.top = `${drawn.valToPos(point.y, 'y')}px`
  }
  box.hidden = true
  drawn.over.addEventListener('mousemove', () => requestAnimationFrame(show))
  drawn.over.addEventListener('mouseleave', () => (box.hidden = true))
}
