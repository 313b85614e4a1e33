import type { Announcements, ScreenReaderInstructions } from '@dnd-kit/core'
import type { Id } from '../api/tables'
import type { Target } from './drag'

interface Known {
  title: (id: Id) => string
  state: (id: Id) => string
  count: (id: Id) => number
  target: () => Target | null
  may: (id: Id) => boolean
}

export const INSTRUCTIONS: ScreenReaderInstructions = {
  draggable: 'Press Enter to open the card. Press Space to pick it up, arrow keys to move it, Space to drop it, Escape to leave it.',
}

/** What a screen reader hears of a drag. */
export function announcements({ title, state, count, target, may }: Known): Announcements {
  /** Where it was held last: when it has been dropped nobody knows any more what is held, or where it may go. */
  let last = ''
  const where = () => (last = place(target()))
  const place = (here: Target | null) => {
    if (!here) return 'outside the board'
    if (!may(here.state)) return `over ${state(here.state)}, where it may not go`
    return `in ${state(here.state)}, position ${here.index + 1} of ${count(here.state) + 1}`
  }
  return {
    onDragStart: ({ active }) => `Picked up ${title(String(active.id))}, ${where()}.`,
    onDragMove: ({ active }) => `${title(String(active.id))} is ${where()}.`,
    onDragOver: () => undefined,
    onDragEnd: ({ active }) => `Dropped ${title(String(active.id))} ${last}.`,
    onDragCancel: ({ active }) => `${title(String(active.id))} stays where it was.`,
  }
}
