import { useEffect, useRef, useSyncExternalStore } from 'react'
import { createPortal } from 'react-dom'
import { Icon } from './icons'
import { subscribeToLayers, topLayer } from './layers'

interface Toast {
  id: number
  text: string
  tone: 'plain' | 'good' | 'bad'
}

const STAYS_MS = 6_000
let toasts: readonly Toast[] = []
let last = 0
const listeners = new Set<() => void>()

function put(next: readonly Toast[]) {
  toasts = next
  for (const listener of listeners) listener()
}

const drop = (id: number) => put(toasts.filter((toast) => toast.id !== id))

/** Says something in passing. What is said already is not said twice. */
export function say(text: string, tone: Toast['tone'] = 'plain'): void {
  const id = ++last
  put([...toasts.filter((toast) => toast.text !== text), { id, text, tone }].slice(-3))
  setTimeout(() => drop(id), STAYS_MS)
}

export function Toasts() {
  const place = useRef<HTMLDivElement>(null)
  const shown = useSyncExternalStore(
    (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    () => toasts,
  )
  // Beside an open dialog it would be inert: nobody could dismiss it, and no screen reader would tell it.
  const layer = useSyncExternalStore(subscribeToLayers, topLayer)
  useEffect(() => {
    // The top layer anew each time: a dialog that has opened since would cover it.
    const element = place.current
    if (element?.matches(':popover-open')) element.hidePopover()
    if (shown.length > 0) element?.showPopover()
  }, [shown, layer])
  const all = (
    <div ref={place} className="toasts" popover="manual" role="status" aria-live="polite">
      {shown.map(({ id, text, tone }) => (
        <div key={id} className="toast" data-tone={tone}>
          <span>{text}</span>
          <button type="button" aria-label="Dismiss" onClick={() => drop(id)}>
            <Icon name="close" size={16} />
          </button>
        </div>
      ))}
    </div>
  )
  return layer ? createPortal(all, layer) : all
}
