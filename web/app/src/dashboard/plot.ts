import { type RefObject, useEffect, useRef } from 'react'
import uPlot from 'uplot'
import { isDark, useTheme } from '../app/theme'
import 'uplot/dist/uPlot.min.css'
import './plot.css'

/** How things look where a plot is drawn. */
export interface Look {
  /** A CSS colour, as canvases take it. */
  colour: (css: string) => string
  x: uPlot.Axis
  y: uPlot.Axis
}

export type Options = Omit<uPlot.Options, 'width' | 'height'>

const put = (drawn: uPlot, data: uPlot.AlignedData) => drawn.setData(data)

/** Draws in the element that `place` is given to: anew when `key` is another, else with other data, as `renew` puts them in. */
export function usePlot(data: uPlot.AlignedData, make: (look: Look) => Options, key: string, renew = put): { place: RefObject<HTMLDivElement | null>; plot: RefObject<uPlot | null> } {
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot>(null)
  const latest = useRef({ data, make })
  latest.current = { data, make }
  const dark = isDark(useTheme())

  useEffect(() => {
    const element = place.current
    if (!element) return
    const size = () => ({ width: element.clientWidth, height: element.clientHeight })
    const { data, make } = latest.current
    const drawn = new uPlot({ ...make(lookOf(element)), ...size() }, data, element)
    plot.current = drawn
    const watcher = new ResizeObserver(() => drawn.setSize(size()))
    watcher.observe(element)
    return () => {
      watcher.disconnect()
      drawn.destroy()
      plot.current = null
    }
    // Its colours are read when it is made.
  }, [dark, key])

  useEffect(() => {
    if (plot.current && plot.current.data !== data) renew(plot.current, data)
  }, [data])

  return { place, plot }
}

function lookOf(element: HTMLElement): Look {
  const colour = (css: string) => resolved(element, css)
  const axis = { stroke: colour('var(--faint)'), font: `11px ${getComputedStyle(element).fontFamily}`, ticks: { show: false } }
  return {
    colour,
    x: { ...axis, grid: { show: false }, size: 26, space: 56 },
    y: { ...axis, grid: { stroke: colour('var(--line)'), width: 1 }, size: 38, space: 40 },
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

/** An axis of names: one for each place. */
export function named(axis: uPlot.Axis, nameOf: (index: number) => string): uPlot.Axis {
  return { ...axis, incrs: [1, 2, 5, 7, 10, 15, 30, 60, 90], values: (_, at) => at.map(nameOf) }
}

const DAY = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short', timeZone: 'UTC' })

/** A day as charts tell it, in UTC. */
export const dayLabel = (x: string | null | undefined): string => (x ? DAY.format(Date.parse(`${x}T00:00:00Z`)) : '–')
