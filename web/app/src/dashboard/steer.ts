import type uPlot from 'uplot'
import { moved, type View, zoomed } from './series'

/** All that a plot has, with some room where that is a single moment. */
export function wholeOf({ data: [moments] }: uPlot): View {
  const [min, max] = [moments[0] ?? 0, moments.at(-1) ?? 0]
  return min === max ? { min: min - 1_800, max: max + 1_800 } : { min, max }
}

export function viewOf({ scales: { x } }: uPlot): View {
  return { min: x?.min ?? 0, max: x?.max ?? 0 }
}

const isSame = (a: View, b: View) => a.min === b.min && a.max === b.max

/** Whether a part of it is looked at. */
export const isNear = (drawn: uPlot): boolean => !isSame(viewOf(drawn), wholeOf(drawn))

export const zoom = (drawn: uPlot, factor: number, at?: number): void => drawn.setScale('x', zoomed(viewOf(drawn), wholeOf(drawn), factor, at))

/** By a part of what is looked at. */
export function move(drawn: uPlot, part: number): void {
  const view = viewOf(drawn)
  drawn.setScale('x', moved(view, wholeOf(drawn), (view.max - view.min) * part))
}

/** Other data, of which the same part is looked at. */
export function renew(drawn: uPlot, data: uPlot.AlignedData): void {
  if (!isNear(drawn)) return drawn.setData(data)
  const view = viewOf(drawn)
  drawn.setData(data, false)
  drawn.setScale('x', moved(view, wholeOf(drawn), 0))
}

const A_LINE = 16
const ZOOM_A_PIXEL = 0.0016

/** By the wheel it is zoomed, by dragging it is moved, by two fingers both. */
export function steer(drawn: uPlot): void {
  const { over } = drawn
  const fingers = new Map<number, number>()
  const left = () => over.getBoundingClientRect().left
  const momentAt = (x: number) => drawn.posToVal(x - left(), 'x')

  over.addEventListener(
    'wheel',
    (event) => {
      const before = viewOf(drawn)
      const unit = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? A_LINE : 1
      if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) move(drawn, (event.deltaX * unit) / over.clientWidth)
      else {
        const after = zoomed(before, wholeOf(drawn), Math.exp(event.deltaY * unit * ZOOM_A_PIXEL), momentAt(event.clientX))
        // At its end the page scrolls on.
        if (isSame(before, after)) return
        drawn.setScale('x', after)
      }
      event.preventDefault()
    },
    { passive: false },
  )

  over.addEventListener('pointerdown', ({ pointerId, button, clientX }) => {
    if (button !== 0) return
    fingers.set(pointerId, clientX)
    over.setPointerCapture(pointerId)
  })
  over.addEventListener('pointermove', ({ pointerId, clientX }) => {
    if (!fingers.has(pointerId)) return
    const before = [...fingers.values()]
    fingers.set(pointerId, clientX)
    const after = [...fingers.values()]
    move(drawn, (middle(before) - middle(after)) / over.clientWidth)
    if (after.length === 2) zoom(drawn, apart(before) / apart(after), momentAt(middle(after)))
  })
  for (const end of ['pointerup', 'pointercancel'] as const) over.addEventListener(end, ({ pointerId }) => fingers.delete(pointerId))
  over.addEventListener('dblclick', () => drawn.setScale('x', wholeOf(drawn)))
}

const middle = (places: readonly number[]) => places.reduce((sum, place) => sum + place, 0) / places.length
const apart = ([one = 0, other = 0]: readonly number[]) => Math.max(1, Math.abs(one - other))
