import { useRows } from '@tidegate/client/react'
import { useMemo } from 'react'
import { Link } from 'wouter'
import type { Activity } from '../api/tables'
import { usePeople, useWorkspace } from '../api/workspace'
import { Avatar } from '../design/Avatar'
import { Deed } from './Deed'
import { newestFirst } from './groups'
import { useNames } from './useNames'
import './activity.css'

const SHOWN = 8

/** The last things that were done, wherever. */
export function JustNow() {
  const { tide } = useWorkspace()
  const people = usePeople()
  const names = useNames()
  const { rows } = useRows(tide.rows<Activity>('public.activities', { orderBy: 'at desc', limit: 50 }))
  const latest = useMemo(() => [...rows.values()].sort(newestFirst).slice(0, SHOWN), [rows])
  if (latest.length === 0) return null
  return (
    <section className="just-now" aria-labelledby="just-now">
      <header className="just-now-head">
        <h2 id="just-now">Just now</h2>
        <Link href="/activity" className="soft">
          All activity
        </Link>
      </header>
      <ul className="panel">
        {latest.map((activity) => {
          const user = activity.actor_id ? people.get(activity.actor_id) : undefined
          return (
            <li key={activity.id} className="just-now-item">
              <Avatar user={user} size={26} silent />
              <ul>
                <Deed activity={activity} names={names} who={user?.name ?? 'Somebody'} />
              </ul>
            </li>
          )
        })}
      </ul>
    </section>
  )
}
