import { useEffect, useRef } from 'react'
import { Bones } from './Empty'

interface Props {
  loading: boolean
  failed: boolean
  older: () => Promise<void>
}

/** The end of what is here of a longer list: read on when it comes into sight. */
export function More({ loading, failed, older }: Props) {
  const place = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const element = place.current
    if (!element || loading || failed) return
    // The last word counts: where frames are late, several come together.
    const watcher = new IntersectionObserver((entries) => entries.at(-1)?.isIntersecting && void older(), { rootMargin: '400px' })
    watcher.observe(element)
    return () => watcher.disconnect()
  }, [loading, failed, older])
  return (
    <div ref={place} className="more">
      {loading ? (
        <Bones count={2} height={56} />
      ) : (
        <button type="button" className="button" data-kind="quiet" onClick={() => void older()}>
          Older
        </button>
      )}
    </div>
  )
}
