import { useEffect, useRef } from 'react'
import type { Unit } from '../api/tables'
import { amount } from './units'
import './count.css'

const COUNTING_MS = 500

/** A figure that counts to its next value, and lights up for a moment. */
export function Count({ value, unit = 'cards' }: { value: number; unit?: Unit }) {
  const place = useRef<HTMLSpanElement>(null)
  const shown = useRef(value)

  useEffect(() => {
    const element = place.current
    const from = shown.current
    if (!element || from === value) return
    if (matchMedia('(prefers-reduced-motion: reduce)').matches) {
      shown.current = value
      element.textContent = amount(value, unit)
      return
    }
    element.animate([{ color: 'var(--accent)' }, { color: 'var(--accent)', offset: 0.4 }, {}], 1_200)
    // On its way to a whole number it is one.
    const isWhole = Number.isInteger(value) && unit !== 'share'
    const start = performance.now()
    let frame = requestAnimationFrame(function step(now) {
      const part = Math.min(1, (now - start) / COUNTING_MS)
      const eased = 1 - (1 - part) ** 3
      shown.current = part === 1 ? value : from + (value - from) * eased
      element.textContent = amount(isWhole ? Math.round(shown.current) : shown.current, unit)
      if (part < 1) frame = requestAnimationFrame(step)
    })
    return () => cancelAnimationFrame(frame)
  }, [value, unit])

  return (
    <span ref={place} className="count number" data-value={value}>
      {amount(shown.current, unit)}
    </span>
  )
}
