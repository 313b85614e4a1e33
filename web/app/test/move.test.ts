import { expect, it } from 'vitest'
import type { Transition } from '../src/api/tables'
import type { Card } from '../src/board/columns'
import { moveTo, reachableFrom } from '../src/board/move'

const card = (id: string, state_id = 'a', position = id) => ({ id, state_id, position }) as Card
const [one, two, three] = [card('1'), card('2'), card('3')]

it('goes behind whoever is above, and looks so at once', () => {
  const move = moveTo(card('9', 'b'), 'a', 1, [one, two], [one, two])
  expect(move?.spot).toEqual({ state: 'a', after: '1', before: '2' })
  expect(move?.patch).toEqual({ state_id: 'a', position: '1', bias: 1 })
})

it('goes before the first', () => {
  expect(moveTo(three, 'a', 0, [one, two, three], [one, two, three])?.spot).toEqual({ state: 'a', before: '1' })
})

it('goes nowhere where it stands', () => {
  expect(moveTo(two, 'a', 1, [one, two, three], [one, two, three])).toBeNull()
})

it('goes behind what a filter hides', () => {
  const move = moveTo(card('9', 'b'), 'a', 0, [], [one, two])
  expect(move?.spot).toEqual({ state: 'a' })
  expect(move?.patch.position).toBe('2')
})

it('knows the ways, and whose they are', () => {
  const way = (from_state_id: string, to_state_id: string, role: 'member' | 'admin') => ({ from_state_id, to_state_id, role }) as Transition
  const ways = [way('a', 'b', 'member'), way('a', 'c', 'admin'), way('b', 'a', 'member')]
  expect([...reachableFrom('a', ways, false)]).toEqual(['b'])
  expect([...reachableFrom('a', ways, true)]).toEqual(['b', 'c'])
})
