import { expect, it } from 'vitest'
import { grouped } from '../src/activity/groups'
import { lined, type Lines } from '../src/activity/lines'
import type { Activity } from '../src/api/tables'

const NOW = new Date(2026, 10, 26, 12).getTime()
const did = (id: string, actor_id: string, minutesAgo: number) => ({ id, actor_id, board_id: '1', at: new Date(NOW - minutesAgo * 60_000).toISOString() }) as Activity

it('has a line for the name of each day and for each thing that was done, and knows where each burst is', () => {
  const days = grouped([did('4', 'ada', 1), did('3', 'ada', 3), did('2', 'ben', 4), did('1', 'ada', 13 * 60)], NOW)
  const { list, spans, places } = lined(days)
  expect(list.map(({ key }) => key)).toEqual(['day Today', '4', '3', '2', 'day Yesterday', '1'])
  expect(list.map((line) => line.kind === 'deed' && [line.first, line.last])).toEqual([false, [true, false], [false, true], [true, true], false, [true, true]])
  expect(days.map((day) => spans.get(day))).toEqual([{ from: 0, to: 4 }, { from: 4, to: 6 }])
  expect(days.flatMap(({ bursts }) => bursts).map((burst) => spans.get(burst))).toEqual([{ from: 1, to: 3 }, { from: 3, to: 4 }, { from: 5, to: 6 }])
  expect(places.get('2')).toBe(3)
})

it('knows a burst again, at whichever end it has grown, and two that it has come apart to', () => {
  const of = (activities: Activity[], before?: Lines) => {
    const days = grouped(activities, NOW)
    const lines = lined(days, before)
    return { lines, names: days.flatMap(({ bursts }) => bursts.map((burst) => lines.names.get(burst))) }
  }
  const first = of([did('5', 'ada', 5), did('4', 'ada', 6)])
  expect(first.names).toEqual(['4'])
  const newer = of([did('6', 'ada', 4), did('5', 'ada', 5), did('4', 'ada', 6)], first.lines)
  expect(newer.names).toEqual(['4'])
  const older = of([did('6', 'ada', 4), did('5', 'ada', 5), did('4', 'ada', 6), did('3', 'ada', 7)], newer.lines)
  expect(older.names).toEqual(['4'])
  const apart = of([did('6', 'ada', 4), did('7', 'ben', 4.5), did('5', 'ada', 5), did('4', 'ada', 6), did('3', 'ada', 7)], older.lines)
  expect(apart.names).toEqual(['4', '7', '3'])
  expect(new Set(of([did('6', 'ada', 4), did('7', 'ben', 4.5), did('4', 'ada', 6)], older.lines).names).size).toBe(3)
})
