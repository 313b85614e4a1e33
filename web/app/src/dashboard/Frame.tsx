import { type ReactNode, useId, useState } from 'react'
import { Link } from 'wouter'
import { Bones, Empty } from '../design/Empty'

interface Props {
  name: string
  title: string
  /** A word beside the title. */
  note?: ReactNode
  /** Where its past is told. */
  history?: string | undefined
  wide?: boolean
  /** What is shown is on its way, will not come, or is nothing yet. */
  state: 'loading' | 'failed' | 'empty' | 'here'
  table: () => ReactNode
  children: () => ReactNode
}

/** A chart, and the same as a table for whoever would rather read it. */
export function Frame({ name, title, note, history, wide = false, state, table, children }: Props) {
  const [asTable, setAsTable] = useState(false)
  const id = useId()
  return (
    <figure className="figure panel" data-chart={name} data-wide={wide || undefined} aria-labelledby={id}>
      <figcaption className="figure-head">
        <h2 id={id}>{title}</h2>
        {note}
        <span className="figure-ways">
          {history && (
            <Link href={history} className="button" data-kind="quiet" aria-label={`${title}, history`}>
              History
            </Link>
          )}
          {state === 'here' && (
            <button type="button" className="button" data-kind="quiet" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
              Table
            </button>
          )}
        </span>
      </figcaption>
      {state === 'loading' && <Bones count={1} height={188} />}
      {state === 'failed' && <Empty icon="off" title="Not there right now" />}
      {state === 'empty' && <NoHistory />}
      {state === 'here' && (asTable ? table() : children())}
    </figure>
  )
}

export function NoHistory() {
  return (
    <Empty icon="clock" title="No history yet">
      <p>It is computed every hour.</p>
    </Empty>
  )
}

interface TableProps {
  title: string
  /** Names of columns; none where there is one. */
  columns?: readonly string[]
  rows: readonly { name: string; cells: readonly string[] }[]
}

export function Table({ title, columns = [], rows }: TableProps) {
  return (
    <div className="figure-table" tabIndex={0} role="region" aria-label={`${title}, table`}>
      <table>
        <caption className="unseen">{title}</caption>
        {columns.length > 0 && (
          <thead>
            <tr>
              <td />
              {columns.map((column) => (
                <th key={column} scope="col">
                  {column}
                </th>
              ))}
            </tr>
          </thead>
        )}
        <tbody>
          {rows.map(({ name, cells }, index) => (
            <tr key={index}>
              <th scope="row">{name}</th>
              {cells.map((cell, index) => (
                <td key={index} className="number">
                  {cell}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
