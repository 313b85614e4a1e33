import { defaultRangeExtractor, measureElement, type Range, useVirtualizer } from '@tanstack/react-virtual'
import { type FocusEvent, type ReactNode, type Ref, useCallback, useLayoutEffect, useRef, useState } from 'react'
import { Link } from 'wouter'
import type { Activity } from '../api/tables'
import { useBoards, usePeople } from '../api/workspace'
import { Avatar } from '../design/Avatar'
import { ago } from '../design/texts'
import { Deed } from './Deed'
import type { Burst } from './groups'
import type { Line, Lines } from './lines'
import { useNames } from './useNames'

interface Props {
  lines: Lines
  isNew: (activity: Activity) => boolean
  showBoard: boolean
  busy: boolean
  /** Whether nothing older will come. */
  whole: boolean
}

/** As `activity.css` has it: how high the name of a day is, and how much room there is before a day and before a burst. */
const NAME = 32
const BEFORE_DAY = 30
const BEFORE_BURST = 6
/** What is nearer to the name of its day. */
const BELOW_NAME = -2
const BORDER = 1

/** Between the line before it and its own box. */
const before = (line: Line, index: number): number => (line.kind === 'day' ? (index > 0 ? BEFORE_DAY : 0) : line.first ? BEFORE_BURST + BORDER : 0)
/** Behind its own box. */
const behind = (line: Line): number => (line.kind === 'day' ? BELOW_NAME : line.last ? BORDER : 0)

/** About how high a line will be, before it has been measured; the name of a day is always as high. */
function height(line: Line, showBoard: boolean): number {
  if (line.kind === 'day') return NAME
  return 25 + (line.first ? 10 : 0) + (line.last ? (showBoard ? 31 : 10) : 0)
}

/** Day by day what was done. However much it is, that is in the page that can be seen. */
export function Feed({ lines: { list, spans, places, names: burstNames }, isNew, showBoard, busy, whole }: Props) {
  const people = usePeople()
  const boards = useBoards().rows
  const names = useNames()
  const feed = useRef<HTMLDivElement>(null)
  const [top, setTop] = useState(0)
  /** The line that has the focus stays, wherever it is scrolled to: whoever reads by the keyboard goes on from there. */
  const held = useRef<string>(undefined)

  const scroller = () => feed.current?.closest<HTMLElement>('.content') ?? null
  useLayoutEffect(() => {
    const [element, around] = [feed.current, scroller()]
    if (element && around) setTop(Math.round(element.getBoundingClientRect().top - around.getBoundingClientRect().top + around.scrollTop))
  }, [list])

  const newest = list[1]?.key
  const known = useRef(newest)
  const isReadBack = useRef(false)
  const virtual = useVirtualizer({
    count: list.length,
    getScrollElement: scroller,
    getItemKey: useCallback((index: number) => list[index]?.key ?? index, [list]),
    estimateSize: (index) => {
      const line = list[index]
      return line ? before(line, index) + height(line, showBoard) + behind(line) : 0
    },
    measureElement: (element, entry, instance) => {
      const index = instance.indexFromElement(element)
      const line = list[index]
      const known = entry || !line ? undefined : instance.itemSizeCache.get(line.key)
      return known ?? (line ? before(line, index) + measureElement(element, entry, instance) + behind(line) : 0)
    },
    rangeExtractor: useCallback(
      (range: Range) => {
        const seen = defaultRangeExtractor(range)
        const at = places.get(held.current ?? '')
        return at === undefined || seen.includes(at) ? seen : [...seen, at].sort((a, b) => a - b)
      },
      [places],
    ),
    scrollMargin: top,
    overscan: 12,
    useFlushSync: false,
    // At the top one sees what comes. Farther down what one reads stays where it is, and what is older comes below it.
    anchorTo: isReadBack.current && newest !== known.current ? 'end' : 'start',
  })
  isReadBack.current = (virtual.scrollOffset ?? 0) > top
  useLayoutEffect(() => {
    known.current = newest
  })

  const startOf = (index: number) => (virtual.measurementsCache[index]?.start ?? 0) - top
  const endOf = (index: number) => (virtual.measurementsCache[index]?.end ?? 0) - top

  const hold = ({ target }: FocusEvent<Element>) => {
    const place = target.closest('[data-index]') ?? target.querySelector('[data-index]')
    held.current = list[Number(place?.getAttribute('data-index') ?? -1)]?.key
  }

  const shown = virtual.getVirtualItems().flatMap(({ index }) => {
    const line = list[index]
    return line ? { line, index } : []
  })

  const deed = ({ activity, burst, first, last }: Line & { kind: 'deed' }, index: number, from: number) => (
    <Place key={activity.id} ref={virtual.measureElement} index={index} first={first} last={last} top={startOf(index) + (first ? BEFORE_BURST : -BORDER) - from} arrives={isNew(activity)}>
      <Deed as="div" activity={activity} names={names} {...(first && { who: nameOf(burst) })} />
      {last && showBoard && (
        <Link href={`/boards/${burst.board}`} className="burst-board">
          {boards.get(burst.board)?.name}
        </Link>
      )}
    </Place>
  )
  const nameOf = ({ actor }: Burst) => (actor && people.get(actor)?.name) || 'Somebody'

  return (
    <div ref={feed} className="feed" style={{ height: virtual.getTotalSize() }} onFocus={hold} onBlur={() => (held.current = undefined)}>
      {inRuns(shown, ({ line }) => line.day).map(([day, shown]) => {
        const span = spans.get(day)
        if (!span) return null
        const from = startOf(span.from) + (span.from > 0 ? BEFORE_DAY : 0)
        const bursts = inRuns(shown, ({ line }) => (line.kind === 'deed' ? line.burst : null)).filter(([burst]) => burst)
        return (
          <section key={day.name} className="day" style={{ top: from, height: endOf(span.to - 1) - from }}>
            <h2 className="day-name">{day.name}</h2>
            {/* Where only the name of the day is in sight, its feed would be empty. */}
            <div role={bursts.length > 0 ? 'feed' : undefined} aria-label={bursts.length > 0 ? `Activity, ${day.name}` : undefined} aria-busy={bursts.length > 0 ? busy : undefined}>
              {bursts.map(([burst, shown]) => {
                const span = burst && spans.get(burst)
                if (!span) return null
                const start = startOf(span.from) + BEFORE_BURST
                return (
                  <BurstView
                    key={burstNames.get(burst)}
                    name={nameOf(burst)}
                    burst={burst}
                    top={start - from}
                    height={endOf(span.to - 1) - start}
                    arrives={isNew(burst.activities.at(-1)!)}
                    place={[day.bursts.indexOf(burst) + 1, whole ? day.bursts.length : -1]}
                  >
                    {shown.map(({ line, index }) => line.kind === 'deed' && deed(line, index, start))}
                  </BurstView>
                )
              })}
            </div>
          </section>
        )
      })}
    </div>
  )
}

interface BurstProps {
  name: string
  burst: Burst
  top: number
  height: number
  arrives: boolean
  /** Which of how many it is; -1 for nobody knows how many. */
  place: [at: number, of: number]
  children: ReactNode
}

function BurstView({ name, burst: { actor, at }, top, height, arrives, place: [position, count], children }: BurstProps) {
  const people = usePeople()
  const [isNew] = useState(arrives)
  return (
    <article className="burst" style={{ top, height }} data-new={isNew || undefined} aria-label={`${name}, ${ago(at)}`} aria-posinset={position} aria-setsize={count} tabIndex={0}>
      <Avatar user={actor ? people.get(actor) : undefined} size={32} silent />
      <ul>{children}</ul>
    </article>
  )
}

interface PlaceProps {
  ref: Ref<HTMLLIElement>
  index: number
  first: boolean
  last: boolean
  top: number
  arrives: boolean
  children: ReactNode
}

/** Where a line of a burst stands. */
function Place({ ref, index, first, last, top, arrives, children }: PlaceProps) {
  const [isNew] = useState(arrives)
  return (
    <li ref={ref} className="burst-line" style={{ top }} data-index={index} data-first={first || undefined} data-last={last || undefined} data-new={isNew || undefined}>
      {children}
    </li>
  )
}

/** What stands one after the other and has the same. */
function inRuns<T, K>(items: readonly T[], of: (item: T) => K): [K, T[]][] {
  const runs: [K, T[]][] = []
  for (const item of items) {
    const last = runs.at(-1)
    if (last && last[0] === of(item)) last[1].push(item)
    else runs.push([of(item), [item]])
  }
  return runs
}
