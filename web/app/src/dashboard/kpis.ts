import type { Kpi } from '../api/tables'

/** A measure, of one board or of several together. */
export interface Measure {
  kpi: string
  name: string
  value: number
  recent: readonly number[]
  /** Against ten measurements ago. */
  change: number
}

const NAMES: Record<string, string> = {
  open: 'Open cards',
  in_review: 'In review',
  closed_10m: 'Closed in 10 min',
  changes_1m: 'Changes a minute',
}

export const kpiName = (kpi: string): string => NAMES[kpi] ?? kpi.charAt(0).toUpperCase() + kpi.slice(1).replaceAll('_', ' ')

const ORDER = Object.keys(NAMES)
const rank = (kpi: string) => (ORDER.includes(kpi) ? ORDER.indexOf(kpi) : ORDER.length)

export function measures(rows: Iterable<Kpi>, board: string | null): Measure[] {
  const byKpi = new Map<string, Kpi[]>()
  for (const row of rows) {
    if (board && row.board_id !== board) continue
    const same = byKpi.get(row.kpi)
    if (same) same.push(row)
    else byKpi.set(row.kpi, [row])
  }
  const all = [...byKpi].map(([kpi, rows]) => {
    const recent = summed(rows.map(({ recent }) => recent.map(Number)))
    const value = rows.reduce((sum, { value }) => sum + Number(value), 0)
    return { kpi, name: kpiName(kpi), value, recent, change: value - (recent.at(-11) ?? recent[0] ?? value) }
  })
  return all.sort((a, b) => rank(a.kpi) - rank(b.kpi) || a.kpi.localeCompare(b.kpi))
}

/** By their ends: all of them were measured last at the same time. */
function summed(lines: readonly (readonly number[])[]): number[] {
  const length = Math.min(...lines.map((line) => line.length))
  return Array.from({ length }, (_, index) => lines.reduce((sum, line) => sum + (line[line.length - length + index] ?? 0), 0))
}
