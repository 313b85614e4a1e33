import { useEffect, useState } from 'react'

const MINUTE = 60_000
/** So long after a minute's end what was taken in it is there to be read. Not all pages ask for it at once. */
const LATE_MS = 3_000 + Math.random() * 7_000

const minute = () => Math.floor((Date.now() - LATE_MS) / MINUTE)

/** The last minute that is over, while somebody looks. */
export function useMinute(): number {
  const [shown, setShown] = useState(minute)
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>
    const look = () => {
      clearTimeout(timer)
      if (document.hidden) return
      setShown(minute())
      timer = setTimeout(look, MINUTE - ((Date.now() - LATE_MS) % MINUTE))
    }
    look()
    document.addEventListener('visibilitychange', look)
    return () => {
      clearTimeout(timer)
      document.removeEventListener('visibilitychange', look)
    }
  }, [])
  return shown
}
