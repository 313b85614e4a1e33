import { useStatus } from '@tidegate/client/react'
import { useEffect, useRef, useState } from 'react'
import { pauseAfter } from './retry'
import { useWorkspace } from './workspace'

export interface Answered<T> {
  answer: T | null
  failed: boolean
}

interface Failure {
  /** How many there were one after the other. */
  count: number
  error: unknown
}

/**
 * What is answered at `path`, asked for again when `turn` says that what it is made of has changed: the browser has the last
 * answer, and asks by its ETag. What was answered stands until the next answer, if it is `about` the same. What fails is asked
 * for again after a while, and once the line is there again. Without a path nothing is asked for.
 */
export function useAnswer<T>(path: string | null, turn: string, about: string): Answered<T> {
  const { api, tide } = useWorkspace()
  const isLive = useStatus(tide).state === 'live'
  const [answer, setAnswer] = useState<T | null>(null)
  const [failure, setFailure] = useState<Failure | null>(null)
  const [tries, setTries] = useState(0)
  const wasDown = useRef(false)

  useEffect(() => setAnswer(null), [about])

  useEffect(() => {
    if (path === null) return
    const ending = new AbortController()
    api.read<T>(path, ending.signal).then(
      (answer) => {
        setAnswer(answer)
        setFailure(null)
      },
      (error: unknown) => !ending.signal.aborted && setFailure((last) => ({ count: (last?.count ?? 0) + 1, error })),
    )
    return () => ending.abort()
  }, [api, path, turn, tries])

  useEffect(() => {
    const isBack = isLive && wasDown.current
    wasDown.current = !isLive
    if (!isLive || !failure) return
    const timer = setTimeout(() => setTries((tries) => tries + 1), isBack ? 0 : pauseAfter(failure.count, failure.error))
    return () => clearTimeout(timer)
  }, [isLive, failure])

  return { answer, failed: failure !== null }
}
