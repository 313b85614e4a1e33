import { useSyncExternalStore } from 'react'
import type { Id } from '../api/tables'

/** A place that a card is held over: before whoever stands at `index` of the column without the card itself. */
export interface Target {
  state: Id
  index: number
}

/** What a column tells of itself while something is dragged. */
export interface Lane {
  element: HTMLElement
  /** How many cards it shows, without the one that is dragged. */
  count: () => number
  /** Before which card something lies that is held there. */
  indexAt: (clientY: number) => number
  /** Where on the screen the card before that index begins. */
  topOf: (index: number) => number
  reveal: (index: number) => void
}

/** The drag that goes on. Columns listen, and only those draw that have to do with it. */
export class Drag {
  active: Id | null = null
  from: Id | null = null
  target: Target | null = null
  height = 0
  byKeyboard = false
  reachable: ReadonlySet<Id> = new Set()
  readonly lanes = new Map<Id, Lane>()
  readonly #listeners = new Set<() => void>()

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #tell(): void {
    for (const listener of this.#listeners) listener()
  }

  begin(active: Id, from: Id, height: number, reachable: ReadonlySet<Id>, byKeyboard: boolean, index: number): void {
    Object.assign(this, { active, from, height, reachable, byKeyboard, target: { state: from, index } })
    this.#tell()
  }

  aim(target: Target | null): void {
    if (this.target?.state === target?.state && this.target?.index === target?.index) return
    this.target = target
    this.#tell()
  }

  end(): void {
    this.active = this.from = this.target = null
    this.#tell()
  }

  /** The columns from left to right. */
  inOrder(): [Id, Lane][] {
    return [...this.lanes].sort(([, a], [, b]) => a.element.getBoundingClientRect().left - b.element.getBoundingClientRect().left)
  }

  /** Under that point: a column, whether or not the card may go there. */
  under(x: number, y: number): Target | null {
    let nearest: { state: Id; lane: Lane; away: number } | null = null
    for (const [state, lane] of this.lanes) {
      const { left, right } = lane.element.getBoundingClientRect()
      const away = x < left ? left - x : x > right ? x - right : 0
      if (!nearest || away < nearest.away) nearest = { state, lane, away }
    }
    if (!nearest || nearest.away > 60) return null
    return { state: nearest.state, index: nearest.lane.indexAt(y) }
  }

  may(state: Id): boolean {
    return state === this.from || this.reachable.has(state)
  }
}

/** Where in this column the card is held; -1 if it is not. */
export function useGap(drag: Drag, state: Id): number {
  return useSyncExternalStore(drag.subscribe, () => (drag.active && drag.target?.state === state && drag.may(state) ? drag.target.index : -1))
}

/** The card that is dragged, for the column that it is from. */
export function useActive(drag: Drag, state: Id): Id | null {
  return useSyncExternalStore(drag.subscribe, () => (drag.from === state ? drag.active : null))
}

type Standing = 'calm' | 'open' | 'shut' | 'over' | 'refusing'

/** What the column is for what is dragged. */
export function useStanding(drag: Drag, state: Id): Standing {
  return useSyncExternalStore(drag.subscribe, () => {
    if (!drag.active) return 'calm'
    const isOver = drag.target?.state === state
    return drag.may(state) ? (isOver ? 'over' : 'open') : isOver ? 'refusing' : 'shut'
  })
}
