import type { Entry, Id } from '../api/tables'
import type { Phase } from './pending'

/** A card as it is shown: what the stream says, and on top of it what was just asked for. */
export interface Card extends Entry {
  /** Just before or behind whoever has the same place: where a card waits that has no place of its own yet. */
  bias?: -1 | 1
  /** How far a command on it is; nothing if there is none. */
  phase?: Phase
}

/** By their places' bytes, as PostgreSQL compares them. */
export function inOrder(a: Card, b: Card): number {
  if (a.position !== b.position) return a.position < b.position ? -1 : 1
  return (a.bias ?? 0) - (b.bias ?? 0) || a.id.length - b.id.length || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)
}

const NONE: readonly Card[] = []

/**
 * A board's cards by state and place, kept so one change at a time: finding a card's place takes a logarithm of its
 * column, and only columns that were touched get another list.
 */
export class Columns {
  #cards = new Map<Id, Card>()
  #sorted = new Map<Id, Card[]>()
  #shown = new Map<Id, readonly Card[]>()

  get size(): number {
    return this.#cards.size
  }

  get(id: Id): Card | undefined {
    return this.#cards.get(id)
  }

  all(): IterableIterator<Card> {
    return this.#cards.values()
  }

  /** The cards of a state from top to bottom: the same list until one of them changes. */
  list(state: Id): readonly Card[] {
    const shown = this.#shown.get(state)
    if (shown) return shown
    const sorted = this.#sorted.get(state)
    if (!sorted) return NONE
    const list = sorted.slice()
    this.#shown.set(state, list)
    return list
  }

  reset(cards: Iterable<Card>): void {
    this.#cards.clear()
    this.#sorted.clear()
    this.#shown.clear()
    for (const card of cards) {
      this.#cards.set(card.id, card)
      this.#column(card.state_id).push(card)
    }
    for (const column of this.#sorted.values()) column.sort(inOrder)
  }

  put(card: Card): void {
    const before = this.#cards.get(card.id)
    if (before) this.#take(before)
    const column = this.#column(card.state_id)
    column.splice(place(column, card), 0, card)
    this.#cards.set(card.id, card)
    this.#shown.delete(card.state_id)
  }

  drop(id: Id): void {
    const card = this.#cards.get(id)
    if (!card) return
    this.#take(card)
    this.#cards.delete(id)
  }

  #take(card: Card): void {
    const column = this.#column(card.state_id)
    const at = place(column, card)
    if (column[at]?.id === card.id) column.splice(at, 1)
    this.#shown.delete(card.state_id)
  }

  #column(state: Id): Card[] {
    let column = this.#sorted.get(state)
    if (!column) this.#sorted.set(state, (column = []))
    return column
  }
}

/** Where a card stands, or would stand, in a list that is in order. */
function place(column: readonly Card[], card: Card): number {
  let [low, high] = [0, column.length]
  while (low < high) {
    const middle = (low + high) >> 1
    const other = column[middle]
    if (other && inOrder(other, card) < 0) low = middle + 1
    else high = middle
  }
  return low
}
