import { type ReactNode, useId, useState } from 'react'
import type { ChartPoint } from '../api/tables'
import { Bones, Empty } from '../design/Empty'
import { number } from '../design/texts'

interface Props {
  name: string
  title: string
  points: readonly ChartPoint[] | null
  failed: boolean
  label: (x: string | null) => string
  children: (points: readonly ChartPoint[]) => ReactNode
}

/** A chart, and the same as a table for whoever would rather read it. */
export function Figure({ name, title, points, failed, label, children }: Props) {
  const [asTable, setAsTable] = useState(false)
  const id = useId()
  const total = points?.reduce((sum, { y }) => sum + y, 0) ?? 0
  return (
    <figure className="figure panel" data-chart={name} aria-labelledby={id}>
      <figcaption className="figure-head">
        <h2 id={id}>{title}</h2>
        {points && <span className="faint number">{number(total)}</span>}
        <button type="button" className="button" data-kind="quiet" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
          Table
        </button>
      </figcaption>
      {!points ? failed ? <Empty icon="off" title="Not there right now" /> : <Bones count={1} height={188} /> : asTable ? <Table points={points} title={title} label={label} /> : children(points)}
    </figure>
  )
}

function Table({ points, title, label }: { points: readonly ChartPoint[]; title: string; label: (x: string | null) => string }) {
  return (
    <div className="figure-table" tabIndex={0} role="region" aria-label={`${title}, table`}>
      <table>
        <caption className="unseen">{title}</caption>
        <tbody>
          {points.map(({ x, y }) => (
            <tr key={x ?? ''}>
              <th scope="row">{label(x)}</th>
              <td className="number">{number(y)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
