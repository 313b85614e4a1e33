import { useStatus } from '@tidegate/client/react'
import { useEffect, useState } from 'react'
import { useWorkspace } from './workspace'

export interface Answered<T> {
  answer: T | null
  failed: boolean
}

/**
 * What is answered at `path`, asked for again when `turn` says that what it is made of has changed: the browser has the last
 * answer, and asks by its ETag. What was answered stands until the next answer, if it is `about` the same. Without a path
 * nothing is asked for.
 */
export function useAnswer<T>(path: string | null, turn: string, about: string): Answered<T> {
  const { api, tide } = useWorkspace()
  const { state } = useStatus(tide)
  const [answer, setAnswer] = useState<T | null>(null)
  const [failed, setFailed] = useState(false)
  const [tries, setTries] = useState(0)

  useEffect(() => setAnswer(null), [about])

  useEffect(() => {
    if (path === null) return
    const ending = new AbortController()
    api.read<T>(path, ending.signal).then(
      (answer) => {
        setAnswer(answer)
        setFailed(false)
      },
      () => !ending.signal.aborted && setFailed(true),
    )
    return () => ending.abort()
  }, [api, path, turn, tries])

  // What failed because the line was down is asked for once it is there again.
  useEffect(() => {
    if (state === 'live' && failed) setTries((tries) => tries + 1)
  }, [state])

  return { answer, failed }
}
