import { describe, expect, it } from 'vitest'
import { type Card, Columns, inOrder } from '../src/board/columns'

const card = (id: string, state_id: string, position: string, more: Partial<Card> = {}): Card => ({
  id,
  board_id: '1',
  title: `Card ${id}`,
  state_id,
  position,
  priority: 1,
  labels: [],
  category_id: null,
  assignee_id: null,
  due_at: null,
  created_by: null,
  version: 1,
  created_at: '',
  updated_at: '',
  closed_at: null,
  ...more,
})

const ids = (columns: Columns, state: string) => columns.list(state).map(({ id }) => id)

describe('columns', () => {
  it('stand by the bytes of their places', () => {
    const columns = new Columns()
    columns.reset([card('1', 'a', 'n'), card('2', 'a', 'Z'), card('3', 'b', 'V'), card('4', 'a', '5')])
    expect(ids(columns, 'a')).toEqual(['4', '2', '1'])
    expect(ids(columns, 'b')).toEqual(['3'])
    expect(ids(columns, 'c')).toEqual([])
  })

  it('give a card that moves to its new column, and leave the list of others as it was', () => {
    const columns = new Columns()
    columns.reset([card('1', 'a', 'A'), card('2', 'a', 'B'), card('3', 'b', 'A'), card('4', 'c', 'A')])
    const untouched = columns.list('c')
    columns.put(card('1', 'b', 'B'))
    expect(ids(columns, 'a')).toEqual(['2'])
    expect(ids(columns, 'b')).toEqual(['3', '1'])
    expect(columns.list('c')).toBe(untouched)
  })

  it('put a card without a place of its own beside its neighbour', () => {
    const columns = new Columns()
    columns.reset([card('1', 'a', 'A'), card('2', 'a', 'B'), card('3', 'a', 'C')])
    columns.put(card('3', 'a', 'A', { bias: 1 }))
    expect(ids(columns, 'a')).toEqual(['1', '3', '2'])
    columns.put(card('3', 'a', 'A', { bias: -1 }))
    expect(ids(columns, 'a')).toEqual(['3', '1', '2'])
  })

  it('are what sorting everything anew would give, whatever happens', () => {
    const columns = new Columns()
    const all = new Map<string, Card>()
    let seed = 7
    const random = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % below
    for (let step = 0; step < 3_000; step++) {
      const id = String(random(200))
      if (random(6) === 0) {
        all.delete(id)
        columns.drop(id)
      } else {
        const next = card(id, String(random(4)), String(random(40)))
        all.set(id, next)
        columns.put(next)
      }
    }
    for (const state of ['0', '1', '2', '3']) {
      const wanted = [...all.values()].filter((one) => one.state_id === state).sort(inOrder)
      expect(columns.list(state)).toEqual(wanted)
    }
    expect(columns.size).toBe(all.size)
  })
})
