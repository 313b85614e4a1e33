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
    return <span className="avatar" data-nobody="" style={{ '--size': `${size}px` }} data-initials="–" {...(silent ? { 'aria-hidden': true } : { role: 'img', 'aria-label': 'Nobody' })} />
  }
  const named = silent ? { 'aria-hidden': true } : { role: 'img', 'aria-label': user.name, title: user.name }
  return (
    // Initials are a picture of the name that is told already, and no text to be read.
    <span className="avatar" data-initials={initials(user.name)} style={{ '--hue': user.hue, '--size': `${size}px` }} {...named} />
  )
})
