import { useVirtualizer } from '@tanstack/react-virtual'
import { memo, useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import type { Category, State, User } from '../api/tables'
import { Icon } from '../design/icons'
import { Card } from './Card'
import type { Card as Row } from './columns'
import { Composer } from './Composer'
import { type Drag, useActive, useGap, useStanding } from './drag'
import { chosen, type Filter, isEverything } from './filter'
import type { Glide } from './glide'
import type { BoardStore } from './store'

const GAP = 8
const EDGE = 8

interface Props {
  state: State
  store: BoardStore
  drag: Drag
  glide: Glide
  filter: Filter
  people: ReadonlyMap<string, User>
  categories: ReadonlyMap<string, Category>
  comments: ReadonlyMap<string, number>
  mayEdit: boolean
}

/** A column. However many cards are in it, those are in the page that can be seen. */
export const Lane = memo(function Lane({ state, store, drag, glide, filter, people, categories, comments, mayEdit }: Props) {
  const all = useSyncExternalStore(store.subscribe, () => store.columns.list(state.id))
  const shown = useMemo(() => chosen(all, filter), [all, filter])
  const active = useActive(drag, state.id)
  const gap = useGap(drag, state.id)
  const standing = useStanding(drag, state.id)
  const [composing, setComposing] = useState(false)
  const lane = useRef<HTMLElement>(null)
  const scroller = useRef<HTMLDivElement>(null)

  const rest = useMemo(() => (active ? shown.filter(({ id }) => id !== active) : shown), [shown, active])
  const held = active ? shown.find(({ id }) => id === active) : undefined
  const count = rest.length + (gap >= 0 ? 1 : 0)
  const at = (index: number): Row | undefined => (gap < 0 || index < gap ? rest[index] : rest[index - 1])

  // Another function would have all places reckoned anew, at each step of scrolling.
  const getItemKey = useCallback(
    (index: number) => (index === gap ? 'gap' : ((gap < 0 || index < gap ? rest[index] : rest[index - 1])?.id ?? index)),
    [rest, gap],
  )
  const virtual = useVirtualizer({
    count,
    getScrollElement: () => scroller.current,
    estimateSize: (index) => (index === gap ? drag.height : height(at(index))),
    getItemKey,
    gap: GAP,
    paddingStart: 8,
    paddingEnd: EDGE,
    overscan: 6,
    useFlushSync: false,
  })

  const latest = useRef({ rest, gap, virtual })
  latest.current = { rest, gap, virtual }
  useEffect(() => {
    const element = lane.current
    if (!element) return
    const listTop = () => (scroller.current?.getBoundingClientRect().top ?? 0) - (scroller.current?.scrollTop ?? 0)
    drag.lanes.set(state.id, {
      element,
      count: () => latest.current.rest.length,
      indexAt: (clientY) => {
        const { rest, gap, virtual } = latest.current
        const y = clientY - listTop()
        for (const { index, start, end } of virtual.getVirtualItems()) {
          if (index === gap) continue
          if (y < (start + end) / 2) return gap >= 0 && index > gap ? index - 1 : index
        }
        return rest.length
      },
      topOf: (index) => {
        const { virtual } = latest.current
        const spot = virtual.measurementsCache[index]
        return listTop() + (spot?.start ?? virtual.getTotalSize())
      },
      reveal: (index) => latest.current.virtual.scrollToIndex(Math.max(0, index), { align: 'auto' }),
    })
    return () => {
      drag.lanes.delete(state.id)
    }
  }, [drag, state.id])

  const isFull = state.wip_limit !== null && all.length >= state.wip_limit
  const total = state.wip_limit === null ? String(all.length) : `${all.length}/${state.wip_limit}`
  const tally = isEverything(filter) ? total : `${shown.length} of ${total}`

  const slot = (row: Row) => (
    <Card
      card={row}
      glide={glide}
      movable={mayEdit}
      closed={state.kind === 'done'}
      assignee={row.assignee_id ? people.get(row.assignee_id) : undefined}
      category={row.category_id ? categories.get(row.category_id) : undefined}
      comments={comments.get(row.id) ?? 0}
    />
  )

  return (
    <section ref={lane} className="lane" data-state={state.id} data-kind={state.kind} data-standing={standing} aria-labelledby={`state-${state.id}`}>
      <header className="lane-head">
        <span className="dot" data-kind={state.kind} aria-hidden="true" />
        <h2 id={`state-${state.id}`}>{state.name}</h2>
        <span className="lane-count" data-full={isFull || undefined} aria-label={state.wip_limit === null ? `${all.length} cards` : `${all.length} of at most ${state.wip_limit} cards`} role="img">
          {tally}
        </span>
        {mayEdit && (
          <button type="button" className="button lane-add" data-kind="quiet" data-icon="" aria-label={`New card in ${state.name}`} onClick={() => setComposing(true)}>
            <Icon name="plus" size={16} />
          </button>
        )}
      </header>
      {composing && <Composer board={state.board_id} state={state.id} before={all[0]?.id} onDone={() => setComposing(false)} />}
      <div ref={scroller} className="lane-scroll" tabIndex={-1}>
        <ol className="lane-list" style={{ height: virtual.getTotalSize() }}>
          {virtual.getVirtualItems().map(({ key, index, start }) => {
            const row = at(index)
            if (index === gap || !row) return <li key="gap" className="slot slot-gap" aria-hidden="true" style={{ transform: `translateY(${start}px)`, height: drag.height }} />
            return (
              <li key={key} ref={virtual.measureElement} data-index={index} className="slot" style={{ transform: `translateY(${start}px)` }} aria-setsize={rest.length} aria-posinset={index + 1}>
                {slot(row)}
              </li>
            )
          })}
          {/* The finger is on it: taken out of the page it would hear nothing of what the finger does. */}
          {held && (
            <li key={held.id} className="slot slot-held">
              {slot(held)}
            </li>
          )}
        </ol>
        {all.length > 0 && shown.length === 0 && <p className="lane-none">No card matches</p>}
      </div>
    </section>
  )
})

/** About how high a card will be, before it has been measured. */
function height(row: Row | undefined): number {
  if (!row) return 72
  const lines = Math.ceil(row.title.length / 34)
  const tags = row.category_id || row.labels.length > 0 ? 27 : 0
  const foot = row.priority !== 1 || row.due_at || row.assignee_id ? 30 : 0
  return 22 + lines * 20 + tags + foot
}
