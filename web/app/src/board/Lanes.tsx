import {
  type CollisionDetection,
  DndContext,
  type DragEndEvent,
  DragOverlay,
  type DragStartEvent,
  KeyboardCode,
  type KeyboardCoordinateGetter,
  KeyboardSensor,
  MeasuringStrategy,
  MouseSensor,
  TouchSensor,
  useSensor,
  useSensors,
} from '@dnd-kit/core'
import { useLayoutEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import { moveEntry } from '../api/commands'
import type { Category, Id, State, Transition, User } from '../api/tables'
import { say } from '../design/toasts'
import { announcements, INSTRUCTIONS } from './announce'
import { CardInHand } from './Card'
import type { Card } from './columns'
import { Drag } from './drag'
import { chosen, type Filter } from './filter'
import { Glide } from './glide'
import { Lane } from './Lane'
import { moveTo, reachableFrom } from './move'
import type { BoardStore, Moved } from './store'

interface Props {
  store: BoardStore
  states: readonly State[]
  transitions: ReadonlyMap<string, Transition>
  filter: Filter
  people: ReadonlyMap<string, User>
  categories: ReadonlyMap<string, Category>
  comments: ReadonlyMap<string, number>
  mayEdit: boolean
  isAdmin: boolean
  mover: (moved: Moved) => User | undefined
}

/** How long a finger rests on a card before it lifts it: less, and nobody could scroll. */
const PRESS = { delay: 220, tolerance: 8 }

/** The columns of a board, and what is carried between them. */
export function Lanes({ store, states, transitions, filter, people, categories, comments, mayEdit, isAdmin, mover }: Props) {
  const drag = useMemo(() => new Drag(), [])
  const glide = useMemo(() => new Glide(), [])
  const layer = useRef<HTMLDivElement>(null)
  const [inHand, setInHand] = useState<Card | null>(null)
  const turn = useSyncExternalStore(store.subscribe, () => store.turn)

  useLayoutEffect(() => store.beforeDrawing((moved) => glide.measure(moved)), [store, glide])
  useLayoutEffect(() => {
    if (layer.current && !drag.active) glide.play(layer.current, mover)
  }, [turn, glide, mover, drag])

  const sensors = useSensors(
    useSensor(MouseSensor, { activationConstraint: { distance: 5 } }),
    useSensor(TouchSensor, { activationConstraint: PRESS }),
    useSensor(KeyboardSensor, {
      // Enter opens a card.
      keyboardCodes: { start: [KeyboardCode.Space], cancel: [KeyboardCode.Esc], end: [KeyboardCode.Space, KeyboardCode.Enter] },
      coordinateGetter: useMemo(() => steps(drag), [drag]),
    }),
  )

  const collide: CollisionDetection = ({ pointerCoordinates }) => {
    if (drag.active && !drag.byKeyboard && pointerCoordinates) drag.aim(drag.under(pointerCoordinates.x, pointerCoordinates.y))
    return []
  }

  const shownIn = (state: Id) => chosen(store.columns.list(state), filter)

  const begin = ({ active, activatorEvent }: DragStartEvent) => {
    const card = store.get(String(active.id))
    if (!card) return
    keepFromFollowing()
    const element = layer.current?.parentElement?.querySelector(`[data-entry="${CSS.escape(card.id)}"]`)
    const height = element?.getBoundingClientRect().height ?? 72
    const index = shownIn(card.state_id).findIndex(({ id }) => id === card.id)
    drag.begin(card.id, card.state_id, height, reachableFrom(card.state_id, transitions.values(), isAdmin), activatorEvent instanceof KeyboardEvent, index)
    setInHand(card)
  }

  const finish = ({ active }: DragEndEvent) => {
    const target = drag.target
    const held = document.querySelector('.card-held')?.getBoundingClientRect()
    const card = store.get(String(active.id))
    drag.end()
    setInHand(null)
    if (!card || !target) return
    const name = (id: Id) => states.find((state) => state.id === id)?.name ?? 'there'
    if (target.state !== card.state_id && !reachableFrom(card.state_id, transitions.values(), isAdmin).has(target.state)) {
      say(`The workflow has no way from ${name(card.state_id)} to ${name(target.state)}.`, 'bad')
      return
    }
    const move = moveTo(card, target.state, target.index, shownIn(target.state), store.columns.list(target.state))
    if (!move) return
    if (held) glide.letGo(card.id, held)
    void store.attempt(card.id, move.patch, (now) => moveEntry(now, move.spot))
  }

  const cancel = () => {
    drag.end()
    setInHand(null)
  }

  const words = useMemo(
    () =>
      announcements({
        title: (id) => store.get(id)?.title ?? 'The card',
        target: () => drag.target,
        state: (id) => states.find((state) => state.id === id)?.name ?? '',
        count: (id) => drag.lanes.get(id)?.count() ?? 0,
        may: (id) => drag.may(id),
      }),
    [store, drag, states],
  )

  return (
    <DndContext
      sensors={sensors}
      collisionDetection={collide}
      measuring={{ droppable: { strategy: MeasuringStrategy.BeforeDragging } }}
      accessibility={{ announcements: words, screenReaderInstructions: INSTRUCTIONS }}
      autoScroll={{ threshold: { x: 0.12, y: 0.16 }, acceleration: 12 }}
      onDragStart={begin}
      onDragEnd={finish}
      onDragCancel={cancel}
    >
      <div className="lanes" data-dragging={inHand ? '' : undefined}>
        {states.map((state) => (
          <Lane key={state.id} {...{ state, store, drag, glide, filter, people, categories, comments, mayEdit }} />
        ))}
      </div>
      <div ref={layer} className="flights" inert />
      <DragOverlay dropAnimation={null}>
        {inHand && (
          <CardInHand
            card={inHand}
            closed={false}
            assignee={inHand.assignee_id ? people.get(inHand.assignee_id) : undefined}
            category={inHand.category_id ? categories.get(inHand.category_id) : undefined}
            comments={comments.get(inHand.id) ?? 0}
          />
        )}
      </DragOverlay>
    </DndContext>
  )
}

/** By arrow keys: up and down within a column, left and right to the next one. */
function steps(drag: Drag): KeyboardCoordinateGetter {
  return (event, { currentCoordinates }) => {
    const target = drag.target
    if (!target) return undefined
    const lanes = drag.inOrder()
    const at = lanes.findIndex(([state]) => state === target.state)
    const step = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.code]
    if (!step) return undefined
    event.preventDefault()
    const [column = 0, row = 0] = step
    const next = lanes[Math.max(0, Math.min(lanes.length - 1, at + column))]
    if (!next) return undefined
    const [state, lane] = next
    const index = Math.max(0, Math.min(lane.count(), target.index + row))
    drag.aim({ state, index })
    lane.element.scrollIntoView({ block: 'nearest', inline: 'nearest' })
    lane.reveal(index)
    const { left } = lane.element.getBoundingClientRect()
    return { ...currentCoordinates, x: left + 8, y: lane.topOf(index) }
  }
}

/** A drag ends with a click that is none. */
function keepFromFollowing(): void {
  const stay = (event: Event) => event.preventDefault()
  window.addEventListener('click', stay, { capture: true })
  const end = () => setTimeout(() => window.removeEventListener('click', stay, { capture: true }), 60)
  for (const type of ['pointerup', 'touchend', 'keydown', 'pointercancel']) window.addEventListener(type, end, { capture: true, once: true })
}
