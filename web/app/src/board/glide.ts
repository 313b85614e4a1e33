import type { Id, User } from '../api/tables'
import { initials } from '../design/texts'
import type { Moved } from './store'

/**
 * Cards that glide from where they were to where they are (FLIP). Across columns it is a copy that travels, above
 * everything: a column cuts off what leaves it. Whoever moved the card travels with it.
 */

const TRAVEL = { duration: 620, easing: 'cubic-bezier(.22, .9, .24, 1)' }
const SHIFT = { duration: 320, easing: 'cubic-bezier(.2, .8, .2, 1)' }
const GLOW_MS = 1_300
/** More at once is a flood, and no story to be told. */
const MOST = 24
/** So many at a time, of each kind: where more happens some of it is enough to be seen. */
const MOST_FLIGHTS = 3
const MOST_GLOWS = 4
/** Whoever makes room glides only where little happens: what comes faster than eyes follow need not be smooth. */
const CALM_MS = 300
const CALM_MOVES = 2

export class Glide {
  readonly #cards = new Map<Id, HTMLElement>()
  #before = new Map<Id, DOMRect>()
  #copies = new Map<Id, HTMLElement>()
  #moved = new Map<Id, Moved>()
  #dropped: { id: Id; rect: DOMRect } | null = null
  #last = 0
  #flights = 0
  #glows = 0
  readonly #stillness = matchMedia('(prefers-reduced-motion: reduce)')

  hold(id: Id, element: HTMLElement | null): void {
    if (element) this.#cards.set(id, element)
    else this.#cards.delete(id)
  }

  /** Where a card was let go: it goes on from there. */
  letGo(id: Id, rect: DOMRect): void {
    this.#dropped = { id, rect }
  }

  measure(moved: ReadonlyMap<Id, Moved>): void {
    for (const [id, what] of moved) this.#moved.set(id, what)
    if (this.#stillness.matches || this.#before.size > 0) return
    const now = performance.now()
    const isCalm = (now - this.#last > CALM_MS && moved.size <= CALM_MOVES) || this.#dropped !== null
    this.#last = now
    for (const [id, element] of this.#cards) {
      const what = moved.get(id)
      if (!isCalm && !what) continue
      this.#before.set(id, element.getBoundingClientRect())
      if (what?.kind === 'move') this.#copies.set(id, copyOf(element))
    }
    if (this.#dropped) {
      const element = this.#cards.get(this.#dropped.id)
      this.#before.set(this.#dropped.id, this.#dropped.rect)
      if (element) this.#copies.set(this.#dropped.id, copyOf(element))
    }
  }

  /** `mover` tells who did what was done in a transaction, if that is known. */
  play(layer: HTMLElement, mover: (moved: Moved) => User | undefined): void {
    const [before, copies, moved] = [this.#before, this.#copies, this.#moved]
    this.#before = new Map()
    this.#copies = new Map()
    this.#moved = new Map()
    const dropped = this.#dropped
    this.#dropped = null
    if (moved.size === 0 && before.size === 0) return
    const isFlood = moved.size > MOST
    for (const [id, element] of this.#cards) {
      const from = before.get(id)
      const what = moved.get(id)
      if (!from && !what) continue
      const to = element.getBoundingClientRect()
      const copy = copies.get(id)
      if (isFlood) continue
      if (from && far(from, to)) {
        const travels = Math.abs(from.left - to.left) > 8 || dropped?.id === id
        if (!travels) shift(element, from, to)
        else if (copy && (this.#flights < MOST_FLIGHTS || dropped?.id === id)) this.#fly(travel(layer, element, copy, from, to, what && mover(what)))
      } else if (what?.kind === 'insert' && !this.#stillness.matches && !from) {
        element.animate([{ opacity: 0, transform: 'scale(.94)' }, { opacity: 1, transform: 'none' }], SHIFT)
      }
      if (what?.tx && this.#glows < MOST_GLOWS) this.#glow(element)
    }
  }

  #fly({ finished }: Animation): void {
    const landed = () => {
      this.#flights -= 1
    }
    this.#flights += 1
    finished.then(landed, landed)
  }

  #glow(element: HTMLElement): void {
    const faded = () => {
      this.#glows -= 1
    }
    this.#glows += 1
    glow(element).finished.then(faded, faded)
  }
}

function far(a: DOMRect, b: DOMRect): boolean {
  return Math.abs(a.left - b.left) > 1 || Math.abs(a.top - b.top) > 1
}

function copyOf(element: HTMLElement): HTMLElement {
  const copy = element.cloneNode(true) as HTMLElement
  copy.removeAttribute('id')
  copy.removeAttribute('data-entry')
  copy.removeAttribute('tabindex')
  copy.classList.add('card-ghost')
  return copy
}

function shift(element: HTMLElement, from: DOMRect, to: DOMRect): Animation {
  return element.animate([{ transform: `translate(${from.left - to.left}px, ${from.top - to.top}px)` }, { transform: 'none' }], SHIFT)
}

function travel(layer: HTMLElement, element: HTMLElement, copy: HTMLElement, from: DOMRect, to: DOMRect, by: User | undefined): Animation {
  Object.assign(copy.style, { width: `${to.width}px`, left: `${to.left}px`, top: `${to.top}px` })
  if (by) copy.append(badge(by))
  layer.append(copy)
  const hidden = element.animate([{ opacity: 0 }, { opacity: 0 }], { duration: TRAVEL.duration })
  const lift = by ? 'scale(1.03) rotate(.6deg)' : 'scale(1.02)'
  const [x, y] = [from.left - to.left, from.top - to.top]
  const flight = copy.animate(
    [
      { transform: `translate(${x}px, ${y}px)` },
      { transform: `translate(${x * 0.45}px, ${y * 0.45}px) ${lift}`, offset: 0.4 },
      { transform: 'none' },
    ],
    { ...TRAVEL, duration: by ? TRAVEL.duration : 240 },
  )
  const land = () => {
    hidden.cancel()
    copy.remove()
    if (by) stay(element, by)
  }
  if (!by) hidden.effect?.updateTiming({ duration: 240 })
  flight.finished.then(land, land)
  return flight
}

/** The mover's face stays on the card for a moment. */
function stay(element: HTMLElement, by: User): void {
  const face = badge(by)
  element.append(face)
  const going = face.animate([{ opacity: 1, transform: 'none' }, { opacity: 1, transform: 'none', offset: 0.75 }, { opacity: 0, transform: 'scale(.6)' }], 1_600)
  const gone = () => face.remove()
  going.finished.then(gone, gone)
}

function badge({ name, hue }: User): HTMLElement {
  const face = document.createElement('span')
  face.className = 'avatar card-mover'
  face.setAttribute('aria-hidden', 'true')
  face.style.setProperty('--hue', String(hue))
  face.style.setProperty('--size', '26px')
  face.dataset['initials'] = initials(name)
  return face
}

/** By a ring that lies over the card and fades: a fading shadow of the card's own would be painted anew each frame. */
function glow(element: HTMLElement): Animation {
  return element.animate({ opacity: [1, 1, 0], offset: [0, 0.3, 1] }, { duration: GLOW_MS, easing: 'ease-out', pseudoElement: '::after' })
}
