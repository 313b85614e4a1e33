import { memo } from 'react'
import type { User } from '../api/tables'
import { initials } from './texts'

interface Props {
  user: User | null | undefined
  size?: number
  /** Where the name stands beside it already. */
  silent?: boolean
}

export const Avatar = memo(function Avatar({ user, size = 24, silent = false }: Props) {
  if (!user) {
    return <span className="avatar" data-nobody="" style={{ '--size': `${size}px` }} {...(silent ? { 'aria-hidden': true } : { role: 'img', 'aria-label': 'Nobody' })}>–</span>
  }
  const named = silent ? { 'aria-hidden': true } : { role: 'img', 'aria-label': user.name, title: user.name }
  return (
    <span className="avatar" style={{ '--hue': user.hue, '--size': `${size}px` }} {...named}>
      {initials(user.name)}
    </span>
  )
})
