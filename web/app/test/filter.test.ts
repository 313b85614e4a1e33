import { describe, expect, it } from 'vitest'
import { chosen, EVERYTHING, worded } from '../src/board/filter'
import type { Card } from '../src/board/columns'

const card = (id: string, title: string) => ({ id, title, labels: [], assignee_id: null, category_id: null }) as unknown as Card
const cards = [card('1', 'Ship it'), card('2', 'Anchor'), card('3', 'Buoy')]
const ids = (filter: typeof EVERYTHING) => chosen(cards, filter).map(({ id }) => id)

describe('what was found in bodies', () => {
  const found = { ...worded(EVERYTHING, 'ship'), found: new Set(['2']) }

  it('stays while the words are the same but for the space around them', () => {
    expect(ids(found)).toEqual(['1', '2'])
    expect(ids(worded(found, 'ship '))).toEqual(['1', '2'])
    expect(ids(worded(worded(found, '  ship '), 'ship'))).toEqual(['1', '2'])
  })

  it('goes with other words', () => {
    expect(ids(worded(found, 'ship i'))).toEqual(['1'])
    expect(worded(found, '').found).toBeNull()
  })
})
