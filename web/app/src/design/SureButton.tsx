import { type ReactNode, useState } from 'react'

interface Props {
  children: ReactNode
  /** What it is called, if what is on it is no text. */
  name?: string
  /** What it asks, and then does. */
  sure: string
  onSure: () => void
  className?: string
  kind?: 'quiet' | 'bad'
  icon?: boolean
  role?: 'menuitem'
}

/** A button for what nobody can take back: the first click asks, the next one does it. */
export function SureButton({ children, name, sure, onSure, className = 'button', kind, icon = false, role }: Props) {
  const [asked, setAsked] = useState(false)
  return (
    <button
      type="button"
      className={className}
      role={role}
      data-kind={asked && kind ? 'bad' : kind}
      {...(icon && !asked && { 'data-icon': '' })}
      {...(name && { 'aria-label': asked ? `${name}: ${sure}` : name, title: name })}
      onBlur={() => setAsked(false)}
      onClick={({ detail }) => {
        if (!asked) setAsked(true)
        // A double click is one that was meant once.
        else if (detail < 2) onSure()
      }}
    >
      {asked ? sure : children}
    </button>
  )
}
