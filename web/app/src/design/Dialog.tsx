import { type ReactNode, useEffect, useId, useRef } from 'react'
import { Icon } from './icons'
import { opened } from './layers'
import { say } from './toasts'

interface Props {
  title: ReactNode
  onClose: () => void
  children: ReactNode
  drawer?: boolean
  /** Where focus goes if what opened it is not there any more. */
  returnTo?: () => HTMLElement | null
  /** Beside the title. */
  tools?: ReactNode
}

/** A modal dialog of the platform's own: what is behind it is inert, Escape closes it, focus returns to where it was. */
export function Dialog({ title, onClose, children, drawer = false, tools, returnTo }: Props) {
  const dialog = useRef<HTMLDialogElement>(null)
  const heading = useRef<HTMLHeadingElement>(null)
  const name = useId()
  const back = useRef(returnTo)
  back.current = returnTo

  useEffect(() => {
    const element = dialog.current
    const before = document.activeElement
    if (!element) return
    element.showModal()
    const closed = opened(element)
    if (drawer) heading.current?.focus({ preventScroll: true })
    return () => {
      closed()
      element.close()
      const opener = before instanceof HTMLElement && before.isConnected && before !== document.body ? before : back.current?.()
      opener?.focus({ preventScroll: true })
    }
  }, [drawer])

  /** What is being written somewhere in it goes with nothing less than a decision. */
  const leave = () => {
    const draft = dialog.current?.querySelector<HTMLElement>('[data-draft]')
    if (!draft) return onClose()
    draft.querySelector<HTMLElement>('textarea, input')?.focus()
    say('What you wrote is not saved yet.')
  }

  return (
    <dialog
      ref={dialog}
      className="dialog"
      aria-labelledby={name}
      {...(drawer && { 'data-drawer': '' })}
      onKeyDown={(event) => {
        // Before the browser hears it: a second Escape in a row it would not let anybody prevent.
        if (event.key !== 'Escape' || event.defaultPrevented) return
        event.preventDefault()
        leave()
      }}
      onCancel={(event) => {
        event.preventDefault()
        leave()
      }}
      onClose={() => dialog.current?.open === false && onClose()}
      onPointerDown={(event) => {
        if (event.target !== dialog.current || within(dialog.current, event)) return
        event.preventDefault()
        // Fields that are saved when one leaves them are left first.
        if (document.activeElement instanceof HTMLElement) document.activeElement.blur()
        leave()
      }}
    >
      <header className="dialog-head">
        {/* Focus begins where reading does. */}
        <h2 id={name} tabIndex={-1} ref={heading}>
          {title}
        </h2>
        {tools}
        <button type="button" className="button" data-kind="quiet" data-icon="" aria-label="Close" onClick={onClose}>
          <Icon name="close" />
        </button>
      </header>
      <div className="dialog-body">{children}</div>
    </dialog>
  )
}

function within(element: Element, { clientX, clientY }: { clientX: number; clientY: number }): boolean {
  const { left, right, top, bottom } = element.getBoundingClientRect()
  return clientX >= left && clientX <= right && clientY >= top && clientY <= bottom
}
