import { expect, it } from 'vitest'
import { grouped, newestFirst } from '../src/activity/groups'
import type { Activity } from '../src/api/tables'

const NOW = new Date(2026, 10, 26, 12).getTime()
const at = (minutesAgo: number) => new Date(NOW - minutesAgo * 60_000).toISOString()
const did = (id: string, actor_id: string, minutesAgo: number, board_id = '1') => ({ id, actor_id, board_id, at: at(minutesAgo) }) as Activity

it('puts together what one person does in one go', () => {
  const [today] = grouped([did('5', 'ada', 1), did('4', 'ada', 3), did('3', 'ben', 4), did('2', 'ben', 30), did('1', 'ben', 31, '2')], NOW)
  expect(today?.name).toBe('Today')
  expect(today?.bursts.map(({ activities }) => activities.map(({ id }) => id))).toEqual([['5', '4'], ['3'], ['2'], ['1']])
})

it('begins anew with each day', () => {
  const days = grouped([did('3', 'ada', 1), did('2', 'ada', 13 * 60), did('1', 'ada', 50 * 60)], NOW)
  expect(days.map(({ name }) => name)).toEqual(['Today', 'Yesterday', 'Tuesday, November 24'])
})

it('keeps the name of a burst that grows', () => {
  const before = grouped([did('4', 'ada', 3)], NOW)
  const after = grouped([did('5', 'ada', 1), did('4', 'ada', 3)], NOW)
  expect(after[0]?.bursts[0]?.key).toBe(before[0]?.bursts[0]?.key)
})

it('orders by the moment, however many digits it has', () => {
  const moments = ['10:00:00Z', '10:00:00.000001Z', '10:00:00.45Z', '10:00:00.5Z', '10:00:00.50001Z', '10:00:01Z']
  const rows = moments.map((time, index) => ({ id: String(index), at: `2026-11-26T${time}` }) as Activity)
  expect([...rows].sort(newestFirst).map(({ at }) => at.slice(11))).toEqual([...moments].reverse())
})

it('orders what is of one moment by its number', () => {
  const rows = ['9', '100', '10'].map((id) => ({ id, at: '2026-11-26T10:00:00Z' }) as Activity)
  expect(rows.sort(newestFirst).map(({ id }) => id)).toEqual(['100', '10', '9'])
})
