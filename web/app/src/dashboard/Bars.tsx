import type { ReactNode } from 'react'
import { type ChartName, useChart, type Which } from '../api/chart'
import { Count } from './Count'
import { Figure } from './Figure'

interface Props extends Which {
  name: ChartName
  title: string
  history?: string | undefined
  label: (x: string | null) => string
  face?: (x: string | null) => ReactNode
}

const MOST = 8

/** Amounts by name. */
export function Bars({ name, title, history, label, face, ...which }: Props) {
  const { points, failed } = useChart(name, which)
  return (
    <Figure {...{ name, title, history, points, failed, label }}>
      {(points) => {
        const most = Math.max(1, ...points.map(({ y }) => y))
        return (
          <ul className="bars">
            {points.slice(0, MOST).map(({ x, y }) => (
              <li key={x ?? ''}>
                {face?.(x)}
                <span className="cut bars-name">{label(x)}</span>
                <span className="bars-track" aria-hidden="true">
                  <span style={{ transform: `translateX(${(y / most - 1) * 100}%)` }} />
                </span>
                <Count value={y} />
              </li>
            ))}
          </ul>
        )
      }}
    </Figure>
  )
}
