import type { Ref } from 'react'

export interface LegendItem {
  name: string
  colour: string
  /** What stands there when nobody points at anything. */
  value: string
}

interface Props {
  items: readonly LegendItem[]
  /** When that was. */
  moment: string
  hidden?: ReadonlySet<number>
  onHide?: (index: number) => void
  ref: Ref<HTMLDivElement>
}

/** Which colour is what, and what it comes to: at the cursor, as `pointAt` writes it, or else at the end. */
export function Legend({ items, moment, hidden, onHide, ref }: Props) {
  return (
    <div ref={ref} className="legend">
      <ul>
        {items.map(({ name, colour, value }, index) => {
          const content = (
            <>
              <span className="legend-colour" style={{ background: colour }} aria-hidden="true" />
              <span className="cut">{name}</span>
              <span className="legend-value number" data-rest={value}>
                {value}
              </span>
            </>
          )
          return (
            <li key={index}>
              {onHide ? (
                <button type="button" aria-pressed={!hidden?.has(index)} onClick={() => onHide(index)}>
                  {content}
                </button>
              ) : (
                content
              )}
            </li>
          )
        })}
      </ul>
      <span className="legend-moment faint number" data-rest={moment}>
        {moment}
      </span>
    </div>
  )
}

/** Writes what stands at the cursor, many times a second: past React. Null is for nothing. */
export function pointAt(legend: HTMLElement | null, at: { moment: string; values: readonly string[] } | null): void {
  const places = legend?.querySelectorAll<HTMLElement>('.legend-value') ?? []
  places.forEach((place, index) => (place.textContent = at?.values[index] ?? place.dataset['rest'] ?? ''))
  const moment = legend?.querySelector<HTMLElement>('.legend-moment')
  if (moment) moment.textContent = at?.moment ?? moment.dataset['rest'] ?? ''
}
