import { type RefObject, useEffect, useState } from 'react'

/** Whether it is on the screen, or nearly. */
export function useInSight(place: RefObject<Element | null>): boolean {
  const [isInSight, setInSight] = useState(false)
  useEffect(() => {
    const element = place.current
    if (!element) return
    const watcher = new IntersectionObserver((entries) => setInSight(entries.at(-1)?.isIntersecting ?? false), { rootMargin: '200px' })
    watcher.observe(element)
    return () => watcher.disconnect()
  }, [place])
  return isInSight
}
