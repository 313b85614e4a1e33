import type { Entry, Id } from '../api/tables'
import type { Card } from './columns'
import { isOver, next, type Phase, type Turn } from './pending'

export type Patch = Partial<Omit<Card, 'id' | 'phase'>>

interface Wish {
  entry: Id
  patch: Patch | 'gone'
  phase: Phase
}

/** What was asked for and is not on the stream yet, in the order in which it was asked. */
export class Overlay {
  #wishes = new Map<number, Wish>()
  #last = 0

  get size(): number {
    return this.#wishes.size
  }

  add(entry: Id, patch: Patch | 'gone'): number {
    const key = ++this.#last
    this.#wishes.set(key, { entry, patch, phase: 'sending' })
    return key
  }

  turn(key: number, turn: Turn): Phase {
    const wish = this.#wishes.get(key)
    if (!wish) return 'settled'
    wish.phase = next(wish.phase, turn)
    if (isOver(wish.phase)) this.#wishes.delete(key)
    return wish.phase
  }

  /** The card as it is shown; nothing if it is asked to go. */
  over(row: Entry): Card | undefined {
    let card: Card = row
    for (const { entry, patch, phase } of this.#wishes.values()) {
      if (entry !== row.id) continue
      if (patch === 'gone') return undefined
      card = { ...card, ...patch, phase }
    }
    return card
  }
}
