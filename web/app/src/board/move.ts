import type { Id, Transition } from '../api/tables'
import type { Spot } from '../api/commands'
import type { Card } from './columns'
import type { Patch } from './overlay'

/** The states that the workflow has a way to, for whoever is an admin or not. */
export function reachableFrom(state: Id, transitions: Iterable<Transition>, isAdmin: boolean): ReadonlySet<Id> {
  const reachable = new Set<Id>()
  for (const { from_state_id, to_state_id, role } of transitions) {
    if (from_state_id === state && (role === 'member' || isAdmin)) reachable.add(to_state_id)
  }
  return reachable
}

interface Move {
  spot: Spot
  patch: Patch
}

/**
 * What it takes to put `card` before whoever stands at `index` of `shown`, and how that looks until it is done. `all` are
 * the cards of the column that a filter may hide. Nothing, if it stands there already.
 */
export function moveTo(card: Card, state: Id, index: number, shown: readonly Card[], all: readonly Card[]): Move | null {
  const others = shown.filter(({ id }) => id !== card.id)
  const [above, below] = [others[index - 1], others[index]]
  if (card.state_id === state) {
    const here = shown.findIndex(({ id }) => id === card.id)
    if (here === index) return null
  }
  if (above) return { spot: { state, after: above.id, before: below?.id }, patch: beside(above, state, 1) }
  if (below) return { spot: { state, before: below.id }, patch: beside(below, state, -1) }
  const last = all.at(-1)
  return { spot: { state }, patch: last ? beside(last, state, 1) : { state_id: state, position: 'V' } }
}

function beside({ position }: Card, state_id: Id, bias: -1 | 1): Patch {
  return { state_id, position, bias }
}
