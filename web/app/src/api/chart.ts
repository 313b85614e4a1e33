import { useEffect, useRef, useState } from 'react'
import { type Answered, useAnswer } from './answer'
import type { ChartPoint, FlowPoint, Id } from './tables'

export type ChartName = 'states' | 'assignees' | 'categories' | 'created' | 'throughput' | 'activity'

export interface Which {
  /** All of one's own together if it is null. */
  board: Id | null
  days: number
  turn: string
}

const at = (name: string, { board, days }: Which) => `/v1/charts/${name}?${new URLSearchParams({ days: String(days), ...(board && { board_id: board }) })}`

/** A chart's points. */
export function useChart(name: ChartName | null, which: Which): { points: ChartPoint[] | null; failed: boolean } {
  const { answer, failed } = useAnswer<{ points: ChartPoint[] }>(name && at(name, which), which.turn, which.board ?? '')
  return { points: answer?.points ?? null, failed }
}

/** How many cards stood in each state, day by day. */
export function useFlow(which: Which): Answered<{ points: FlowPoint[] }> {
  return useAnswer(at('flow', which), which.turn, which.board ?? '')
}

/** The value, which is another at most once in so long. */
export function useSlowly<T>(value: T, everyMs: number): T {
  const [slow, setSlow] = useState(value)
  const since = useRef(Date.now())
  useEffect(() => {
    if (Object.is(value, slow)) return
    const turn = () => {
      since.current = Date.now()
      setSlow(value)
    }
    const timer = setTimeout(turn, Math.max(0, since.current + everyMs - Date.now()))
    return () => clearTimeout(timer)
  }, [value, slow, everyMs])
  return slow
}
