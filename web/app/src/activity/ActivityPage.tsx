import { memo, useEffect, useMemo, useRef, useState } from 'react'
import { Link } from 'wouter'
import { useBoards, usePeople } from '../api/workspace'
import { Avatar } from '../design/Avatar'
import { Bones, Empty } from '../design/Empty'
import { ago } from '../design/texts'
import { BoardPicker } from '../design/BoardPicker'
import { Deed } from './Deed'
import { type Burst, grouped } from './groups'
import { useFeed } from './useFeed'
import { useNames } from './useNames'
import { useTitle } from '../app/useTitle'
import './activity.css'

/** What happens, as it happens. */
export default function ActivityPage() {
  useTitle('Activity')
  const [board, setBoard] = useState<string | null>(null)
  const feed = useFeed(board)
  const days = useMemo(() => grouped(feed.activities), [feed.activities])

  return (
    <div className="page activity-page">
      <header className="page-head">
        <h1>Activity</h1>
        <BoardPicker board={board} onBoard={setBoard} />
      </header>
      {feed.activities.length === 0 && (feed.state === 'live' ? <Empty icon="pulse" title="Nothing has happened yet" /> : <Bones count={6} height={64} />)}
      <div className="feed">
        {days.map(({ name, bursts }) => (
          <section key={name} className="day">
            <h2 className="day-name">{name}</h2>
            <div role="feed" aria-label={`Activity, ${name}`} aria-busy={feed.loading}>
              {bursts.map((burst) => (
                <BurstView key={burst.key} burst={burst} showBoard={board === null} />
              ))}
            </div>
          </section>
        ))}
      </div>
      {feed.activities.length > 0 && feed.more && <More loading={feed.loading} older={feed.older} />}
    </div>
  )
}

const BurstView = memo(function BurstView({ burst: { actor, board, at, activities }, showBoard }: { burst: Burst; showBoard: boolean }) {
  const people = usePeople()
  const boards = useBoards().rows
  const names = useNames()
  const user = actor ? people.get(actor) : undefined
  return (
    <article className="burst" aria-label={`${user?.name ?? 'Somebody'}, ${ago(at)}`} tabIndex={0}>
      <Avatar user={user} size={32} silent />
      <div className="burst-body">
        <ul>
          {activities.map((activity, index) => (
            <Deed key={activity.id} activity={activity} names={names} {...(index === 0 && { who: user?.name ?? 'Somebody' })} />
          ))}
        </ul>
        {showBoard && (
          <Link href={`/boards/${board}`} className="burst-board">
            {boards.get(board)?.name}
          </Link>
        )}
      </div>
    </article>
  )
}, isSame)

/** Bursts are put together anew with each activity, and most of them are what they were. */
function isSame(a: { burst: Burst; showBoard: boolean }, b: { burst: Burst; showBoard: boolean }): boolean {
  const [before, now] = [a.burst.activities, b.burst.activities]
  return a.showBoard === b.showBoard && before.length === now.length && before.every((activity, at) => activity === now[at])
}

/** Reads on when it comes into sight. */
function More({ loading, older }: { loading: boolean; older: () => Promise<void> }) {
  const place = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const element = place.current
    if (!element || loading) return
    // The last word counts: where frames are late, several come together.
    const watcher = new IntersectionObserver((entries) => entries.at(-1)?.isIntersecting && void older(), { rootMargin: '400px' })
    watcher.observe(element)
    return () => watcher.disconnect()
  }, [loading, older])
  return (
    <div ref={place} className="feed-more">
      {loading ? (
        <Bones count={2} height={56} />
      ) : (
        <button type="button" className="button" data-kind="quiet" onClick={() => void older()}>
          Older
        </button>
      )}
    </div>
  )
}
