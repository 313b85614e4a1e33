import { type KeyboardEvent, type ReactNode, useEffect, useRef, useState } from 'react'

interface Props {
  /** What is on the button. */
  label: ReactNode
  /** What the button is called, if that is no text. */
  name?: string
  /** What the panel is called, if that is not the button's name. */
  panel?: string
  kind?: 'quiet' | 'plain'
  icon?: boolean
  align?: 'start' | 'end'
  side?: 'above' | 'below'
  /** `menu` for things to do or to choose, `dialog` for anything else. */
  role?: 'menu' | 'dialog'
  className?: string
  children: (close: () => void) => ReactNode
}

/** A button with a panel that opens beside it. */
export function Menu({ label, name, panel, kind = 'plain', icon = false, align = 'start', side = 'below', role = 'menu', className = '', children }: Props) {
  const [open, setOpen] = useState(false)
  const place = useRef<HTMLDivElement>(null)
  const button = useRef<HTMLButtonElement>(null)
  const close = () => setOpen(false)

  useEffect(() => {
    if (!open) return
    place.current?.querySelector<HTMLElement>('.menu-panel :is(button, input, a, [tabindex="0"])')?.focus({ preventScroll: true })
    const leave = (event: Event) => {
      if (event.target instanceof Node && !place.current?.contains(event.target)) close()
    }
    document.addEventListener('pointerdown', leave, true)
    document.addEventListener('focusin', leave)
    return () => {
      document.removeEventListener('pointerdown', leave, true)
      document.removeEventListener('focusin', leave)
    }
  }, [open])

  const onKeyDown = (event: KeyboardEvent) => {
    if (!open) return
    if (event.key === 'Escape') {
      // A dialog around it stays.
      event.preventDefault()
      event.stopPropagation()
      close()
      button.current?.focus()
    } else if (role === 'menu' && (event.key === 'ArrowDown' || event.key === 'ArrowUp')) {
      event.preventDefault()
      const items = [...(place.current?.querySelectorAll<HTMLElement>('.menu-item') ?? [])]
      const here = items.indexOf(document.activeElement as HTMLElement)
      items.at((here + (event.key === 'ArrowDown' ? 1 : -1)) % items.length)?.focus()
    }
  }

  return (
    <div className="menu" ref={place} onKeyDown={onKeyDown}>
      <button
        ref={button}
        type="button"
        className={`button ${className}`}
        aria-haspopup={role}
        aria-expanded={open}
        {...(name && { 'aria-label': name, title: name })}
        {...(kind === 'quiet' && { 'data-kind': 'quiet' })}
        {...(icon && { 'data-icon': '' })}
        onClick={() => setOpen(!open)}
      >
        {label}
      </button>
      {open && (
        <div className="menu-panel" role={role} aria-label={panel ?? name ?? (typeof label === 'string' ? label : undefined)} data-align={align} data-side={side}>
          {children(close)}
        </div>
      )}
    </div>
  )
}
