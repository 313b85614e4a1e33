import type { Definition, Kpi } from '../api/tables'
import { isSummed } from './units'

/** A measure, of one board or of several together. */
export interface Measure {
  definition: Definition
  value: number
  recent: readonly number[]
  /** Against ten samples ago. */
  change: number
}

export type Definitions = ReadonlyMap<string, Definition>

/** How things stand, how fast they go, how well: what people add of their own comes behind. */
const ORDER = ['open', 'work_in_progress', 'overdue', 'throughput', 'transitions_failed', 'lead_time_p50', 'lead_time_p85', 'cycle_time_p50', 'cycle_time_p85', 'sla_attainment']
const rank = (name: string) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length)
const inOrder = (a: Definition, b: Definition) => rank(a.name) - rank(b.name) || a.title.localeCompare(b.title)

/** Those of one number a board. */
export function wholes(definitions: Definitions): Definition[] {
  return [...definitions.values()].filter(({ enabled, dimension }) => enabled && dimension === null).sort(inOrder)
}

/** What it is called, also before that is known. */
export const titleOf = (definitions: Definitions, name: string): string => definitions.get(name)?.title ?? name.charAt(0).toUpperCase() + name.slice(1).replaceAll('_', ' ')

export function measures(rows: Iterable<Kpi>, definitions: Definitions, board: string | null): Measure[] {
  const byName = new Map<string, Kpi[]>()
  for (const row of rows) {
    if (row.item !== '' || (board && row.board_id !== board)) continue
    const same = byName.get(row.kpi)
    if (same) same.push(row)
    else byName.set(row.kpi, [row])
  }
  return wholes(definitions).flatMap((definition) => {
    const rows = byName.get(definition.name)
    if (!rows || (!board && !isSummed(definition))) return []
    const value = rows.reduce((sum, { value }) => sum + Number(value), 0)
    const recent = summed(rows.map(lineOf))
    return [{ definition, value, recent, change: value - (recent.at(-11) ?? recent[0] ?? value) }]
  })
}

/** Its samples up to now: the newest may be a minute old. */
export function lineOf({ value, recent }: Kpi): number[] {
  const samples = recent.map(Number)
  return samples.at(-1) === Number(value) ? samples : [...samples, Number(value)]
}

/** By their ends. What has changed less often was before what it was at first. */
function summed(lines: readonly (readonly number[])[]): number[] {
  const length = Math.max(...lines.map((line) => line.length))
  return Array.from({ length }, (_, index) => lines.reduce((sum, line) => sum + (line[line.length - length + index] ?? line[0] ?? 0), 0))
}
