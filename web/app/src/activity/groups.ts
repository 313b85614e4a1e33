import { byMoment } from '../api/moments'
import type { Activity, UserId } from '../api/tables'
import { dayName } from '../design/texts'

/** What one person did in one go, on one board. */
export interface Burst {
  key: string
  actor: UserId | null
  board: string
  at: string
  activities: Activity[]
}

export interface Day {
  name: string
  bursts: Burst[]
}

/** A pause longer than this begins another burst. */
const PAUSE_MS = 10 * 60_000

/** By day and by who did it, the newest first as they come. */
export function grouped(activities: readonly Activity[], now = Date.now()): Day[] {
  const days: Day[] = []
  let last: Activity | undefined
  for (const activity of activities) {
    const name = dayName(activity.at, now)
    let day = days.at(-1)
    if (day?.name !== name) {
      days.push((day = { name, bursts: [] }))
      last = undefined
    }
    const burst = day.bursts.at(-1)
    const goesOn = burst && last && burst.actor === activity.actor_id && burst.board === activity.board_id && Date.parse(last.at) - Date.parse(activity.at) < PAUSE_MS
    if (goesOn) burst.activities.push(activity)
    else day.bursts.push({ key: activity.id, actor: activity.actor_id, board: activity.board_id, at: activity.at, activities: [activity] })
    last = activity
  }
  // A burst is known by its oldest: what is added to it at the top leaves it where it is.
  for (const { bursts } of days) for (const burst of bursts) burst.key = burst.activities.at(-1)?.id ?? burst.key
  return days
}

export function newestFirst(a: Activity, b: Activity): number {
  return byMoment(b.at, a.at) || b.id.length - a.id.length || (a.id < b.id ? 1 : -1)
}
