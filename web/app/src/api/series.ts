import { useMemo } from 'react'
import { type Period, windowOf } from '../dashboard/series'
import { type Answered, useAnswer } from './answer'
import { path } from './http'
import type { Id, Resolution, Series } from './tables'

export interface PastOf {
  kpi: string
  board: Id
  period: Period
  resolution: Resolution
  turn: string
}

export interface Told {
  resolution: Resolution
  series: Series[]
}

/** What a measure came to in the past. */
export function useSeries({ kpi, board, period, resolution, turn }: PastOf): Answered<Told> {
  const query = useMemo(() => new URLSearchParams({ board_id: board, ...windowOf(period, resolution, Date.now()), resolution }), [board, period, resolution, turn])
  return useAnswer<Told>(`${path`/v1/kpis/${kpi}/series`}?${query}`, turn, `${board} ${kpi}`)
}
