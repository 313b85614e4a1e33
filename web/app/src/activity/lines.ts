import type { Activity } from '../api/tables'
import type { Burst, Day } from './groups'

/** A feed line by line: the name of a day, or one thing that was done. */
export type Line =
  | { kind: 'day'; key: string; day: Day }
  | { kind: 'deed'; key: string; day: Day; burst: Burst; activity: Activity; first: boolean; last: boolean }

/** The lines from `from` up to `to`, which is none of them. */
export interface Span {
  from: number
  to: number
}

export interface Lines {
  list: readonly Line[]
  /** Where each day and each burst is. */
  spans: ReadonlyMap<Day | Burst, Span>
  /** Where each line is, by its key. */
  places: ReadonlyMap<string, number>
  /** By which each burst is known: the same as before, at whichever end it has grown. */
  names: ReadonlyMap<Burst, string>
}

export function lined(days: readonly Day[], before?: Lines): Lines {
  const list: Line[] = []
  const names = new Map<Burst, string>()
  const taken = new Set<string>()
  const spans = new Map<Day | Burst, Span>()
  for (const day of days) {
    const from = list.push({ kind: 'day', key: `day ${day.name}`, day }) - 1
    for (const burst of day.bursts) {
      const from = list.length
      const { activities } = burst
      activities.forEach((activity, index) => list.push({ kind: 'deed', key: activity.id, day, burst, activity, first: index === 0, last: index === activities.length - 1 }))
      spans.set(burst, { from, to: list.length })
      names.set(burst, nameOf(burst, before, taken))
    }
    spans.set(day, { from, to: list.length })
  }
  return { list, spans, places: new Map(list.map(({ key }, index) => [key, index])), names }
}

function nameOf({ key, activities }: Burst, before: Lines | undefined, taken: Set<string>): string {
  const known = [activities[0], activities.at(-1)].map((activity) => {
    const line = before?.list[before.places.get(activity?.id ?? '') ?? -1]
    return line?.kind === 'deed' ? before?.names.get(line.burst) : undefined
  })
  let name = known.find((name) => name !== undefined && !taken.has(name)) ?? key
  // One that has come apart is two.
  while (taken.has(name)) name += '′'
  taken.add(name)
  return name
}
