import type { ReactNode } from 'react'
import { Icon, type IconName } from './icons'

export function Empty({ icon, title, children }: { icon: IconName; title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <Icon name={icon} size={36} />
      <h2>{title}</h2>
      {children}
    </div>
  )
}

/** What stands where content will be. */
export function Bones({ count, height }: { count: number; height: number }) {
  return (
    <div className="bones" role="status" aria-label="Loading">
      {Array.from({ length: count }, (_, index) => (
        <div key={index} className="bone" style={{ height }} />
      ))}
    </div>
  )
}
