import { expect, it } from 'vitest'
import { grouped } from '../src/activity/groups'
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
