import { useEffect, useRef, useState } from 'react'
import type { ChartPoint } from './tables'
import { useWorkspace } from './workspace'

export type ChartName = 'states' | 'assignees' | 'throughput' | 'activity'

const PAUSE_MS = 1_000

/** A chart's points, asked for again when `turn` says that what they are counted from has changed: the browser has the last answer, and asks by its ETag. Without a name nothing is asked for. */
export function useChart(name: ChartName | null, board: string | null, days: number, turn: number): { points: ChartPoint[] | null; failed: boolean } {
  const { api } = useWorkspace()
  const [points, setPoints] = useState<ChartPoint[] | null>(null)
  const [failed, setFailed] = useState(false)

  useEffect(() => setPoints(null), [board])

  useEffect(() => {
    if (!name) return
    const ending = new AbortController()
    const query = new URLSearchParams({ days: String(days), ...(board && { board_id: board }) })
    api.read<{ points: ChartPoint[] }>(`/v1/charts/${name}?${query}`, ending.signal).then(
      (chart) => {
        setPoints(chart.points)
        setFailed(false)
      },
      () => !ending.signal.aborted && setFailed(true),
    )
    return () => ending.abort()
  }, [api, name, board, days, turn])

  return { points, failed }
}

/** Counts up when something has changed, at most once a second. */
export function useTurns(subscribe: (told: () => void) => () => void): number {
  const [turn, setTurn] = useState(0)
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined
    const stop = subscribe(() => {
      timer ??= setTimeout(() => {
        timer = undefined
        setTurn((turn) => turn + 1)
      }, PAUSE_MS)
    })
    return () => {
      clearTimeout(timer)
      stop()
    }
  }, [subscribe])
  return turn
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
