import type { Active, Announcements } from '@dnd-kit/core'
import { expect, it } from 'vitest'
import { announcements } from '../src/board/announce'
import type { Target } from '../src/board/drag'

const active = { id: '7' } as Active
const event = { active, over: null } as Parameters<Announcements['onDragEnd']>[0]

/** A drag that begins in `a`, from where it may go to `b`. */
function dragged() {
  let from: string | null = 'a'
  let target: Target | null = { state: 'a', index: 0 }
  const said = announcements({
    title: () => 'Ticket machine',
    state: (id) => ({ a: 'Backlog', b: 'Review', c: 'Done' })[id] ?? '',
    count: () => 2,
    target: () => target,
    may: (id) => id === from || (from !== null && id === 'b'),
  })
  return {
    begin: () => said.onDragStart(event),
    over: (next: Target | null) => {
      target = next
      return said.onDragMove?.(event)
    },
    /** By the time that it is told nothing is dragged any more. */
    drop: () => {
      from = target = null
      return said.onDragEnd(event)
    },
  }
}

it('tells of a drop within its own column as of any other', () => {
  const drag = dragged()
  expect(drag.begin()).toBe('Picked up Ticket machine, in Backlog, position 1 of 3.')
  expect(drag.over({ state: 'a', index: 2 })).toBe('Ticket machine is in Backlog, position 3 of 3.')
  expect(drag.drop()).toBe('Dropped Ticket machine in Backlog, position 3 of 3.')
})

it('tells where it may not go', () => {
  const drag = dragged()
  drag.begin()
  drag.over({ state: 'c', index: 0 })
  expect(drag.drop()).toBe('Dropped Ticket machine over Done, where it may not go.')
})

it('tells of nowhere', () => {
  const drag = dragged()
  drag.begin()
  drag.over(null)
  expect(drag.drop()).toBe('Dropped Ticket machine outside the board.')
})
