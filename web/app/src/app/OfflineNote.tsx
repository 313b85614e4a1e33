import { useStatus } from '@tidegate/client/react'
import { useEffect, useState } from 'react'
import { useWorkspace } from '../api/workspace'
import { Icon } from '../design/icons'

/** Lines that drop for a moment are nobody's business. */
const LEAST_MS = 1_500

export function OfflineNote() {
  const { tide } = useWorkspace()
  const { state } = useStatus(tide)
  const isDown = state === 'offline' || state === 'resuming'
  const [shown, setShown] = useState(false)
  useEffect(() => {
    if (!isDown) return setShown(false)
    const timer = setTimeout(() => setShown(true), LEAST_MS)
    return () => clearTimeout(timer)
  }, [isDown])
  return (
    <div className="offline" role="status" data-shown={shown || undefined}>
      {shown && (
        <>
          <Icon name="off" size={16} />
          Offline – what you see is from a moment ago
        </>
      )}
    </div>
  )
}
