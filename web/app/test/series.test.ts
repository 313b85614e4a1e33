import { describe, expect, it } from 'vitest'
import { aligned, axisNames, flowOf, momentName, moved, RESOLUTIONS, stacked, upToNow, valuesAt, windowOf, zoomed } from '../src/dashboard/series'
import type { Series } from '../src/api/tables'

const HOUR = 3_600
const DAY = 24 * HOUR
const at = (text: string) => Date.parse(text) / 1_000
/** By the clock of wherever this runs. */
const onTheWall = (hour: number, minute = 0) => new Date(2026, 10, 26, hour, minute).getTime() / 1_000

describe('the window of a question', () => {
  it('ends with this hour, so that within it the question is the same', () => {
    const week = { from: '2026-11-19T21:00:00Z', to: '2026-11-26T21:00:00Z' }
    expect(windowOf('week', 'hour', Date.parse('2026-11-26T20:00:01Z'))).toEqual(week)
    expect(windowOf('week', 'hour', Date.parse('2026-11-26T20:59:59Z'))).toEqual(week)
    expect(windowOf('week', 'hour', Date.parse('2026-11-26T21:00:00Z'))).toEqual(week)
    expect(windowOf('day', 'hour', Date.parse('2026-11-26T20:30:00Z')).from).toBe('2026-11-25T21:00:00Z')
    expect(windowOf('year', 'month', Date.parse('2026-11-26T20:30:00Z')).from).toBe('2025-11-26T21:00:00Z')
  })

  it('ends with this minute where it is told as it came', () => {
    expect(windowOf('day', 'raw', Date.parse('2026-11-26T20:30:01Z'))).toEqual({ from: '2026-11-25T20:31:00Z', to: '2026-11-26T20:31:00Z' })
  })

  it('begins by the hour, and a day as it came', () => {
    expect(Object.values(RESOLUTIONS).map(([first]) => first)).toEqual(['raw', 'hour', 'hour', 'hour'])
  })
})

describe('series', () => {
  const parts = [
    { item: '1', points: [[10, 1], [30, 3]] },
    { item: '2', points: [[20, 8]] },
  ] satisfies Series[]
  const items = ['1', '2']

  it('of one measure go on to what it is now', () => {
    const past = aligned([{ item: '', points: [[10, 1], [20, 3]] }])
    expect(upToNow(past, [''], new Map([['', 4]]), 50)).toEqual([[10, 20, 50], [1, 3, 4]])
    expect(upToNow(past, [''], new Map([['', 4]]), 5)).toEqual([[10, 20, 21], [1, 3, 4]])
  })

  it('of what has no value any more end with their last point', () => {
    const past = aligned([{ item: '', points: [[10, 1], [20, 3]] }])
    expect(upToNow(past, [''], new Map(), 50)).toEqual([[10, 20], [1, 3]])
    expect(upToNow(aligned(parts), items, new Map([['1', 4]]), 50)).toEqual([[10, 20, 30, 50], [1, 1, 3, 4], [null, 8, null, null]])
  })

  it('of parts stand over the same moments, and hold between their changes', () => {
    const data = upToNow(aligned(parts), items, new Map([['1', 3], ['2', 9]]), 40)
    expect(data).toEqual([[10, 20, 30, 40], [1, 1, 3, 3], [null, 8, 8, 9]])
    expect(valuesAt(data, 9)).toEqual([null, null])
    expect(valuesAt(data, 10)).toEqual([1, null])
    expect(valuesAt(data, 29)).toEqual([1, 8])
    expect(valuesAt(data, 1_000)).toEqual([3, 9])
  })

  it('of nothing are nothing', () => {
    expect(aligned([])).toEqual([[]])
    expect(upToNow(aligned([{ item: '', points: [] }]), [''], new Map([['', 1]]), 50)).toEqual([[], []])
  })
})

it('stacks a flow with what is done at the bottom', () => {
  const flow = flowOf([
    { x: '2026-11-25', series: 'Backlog', y: 6 },
    { x: '2026-11-25', series: 'Done', y: 1 },
    { x: '2026-11-26', series: 'Backlog', y: 4 },
    { x: '2026-11-26', series: 'Review', y: 2 },
    { x: '2026-11-26', series: 'Done', y: 3 },
  ])
  expect(flow.days).toEqual(['2026-11-25', '2026-11-26'])
  expect(flow.states).toEqual([
    { name: 'Backlog', counts: [6, 4] },
    { name: 'Review', counts: [0, 2] },
    { name: 'Done', counts: [1, 3] },
  ])
  expect(stacked(flow)).toEqual([[0, 1], [7, 9], [1, 5], [1, 3]])
})

describe('a view', () => {
  const whole = { min: 0, max: 100 * DAY }

  it('is zoomed around a moment, which stays', () => {
    expect(zoomed(whole, whole, 0.5, 80 * DAY)).toEqual({ min: 40 * DAY, max: 90 * DAY })
    expect(zoomed({ min: 40 * DAY, max: 90 * DAY }, whole, 0.5)).toEqual({ min: 52.5 * DAY, max: 77.5 * DAY })
  })

  it('is never larger than all there is, nor too near', () => {
    expect(zoomed({ min: 40 * DAY, max: 90 * DAY }, whole, 10, 41 * DAY)).toEqual(whole)
    const near = zoomed(whole, whole, 1e-9)
    expect(near.max - near.min).toBeCloseTo(HOUR / 4)
    const short = { min: 0, max: 60 }
    expect(zoomed(short, short, 0.5)).toEqual(short)
  })

  it('moves, and stops at the ends', () => {
    const view = { min: 40 * DAY, max: 60 * DAY }
    expect(moved(view, whole, 10 * DAY)).toEqual({ min: 50 * DAY, max: 70 * DAY })
    expect(moved(view, whole, -70 * DAY)).toEqual({ min: 0, max: 20 * DAY })
    expect(moved(view, whole, 70 * DAY)).toEqual({ min: 80 * DAY, max: 100 * DAY })
  })
})

describe('moments', () => {
  it('by the hour are told by its beginning, days and months as in UTC', () => {
    expect(momentName(at('2026-11-26T14:40:00Z'), 'hour')).toBe(momentName(at('2026-11-26T14:00:00Z'), 'hour'))
    expect(momentName(onTheWall(14, 40), 'raw')).toBe('Thu, Nov 26, 14:40')
    expect(momentName(at('2026-11-26T00:00:00Z'), 'day')).toBe('Thu, Nov 26, 2026')
    expect(momentName(at('2026-11-01T00:00:00Z'), 'month')).toBe('November 2026')
  })

  it('at an axis say no more than they must', () => {
    expect(axisNames([onTheWall(0), onTheWall(6), onTheWall(12)], 6 * HOUR, 'hour')).toEqual(['Nov 26', '06:00', '12:00'])
    expect(axisNames([at('2026-11-26T00:00:00Z')], DAY, 'day')).toEqual(['Nov 26'])
    expect(axisNames([at('2026-11-01T00:00:00Z')], 30 * DAY, 'month')).toEqual(['Nov 2026'])
  })
})
