import type { ReactNode } from 'react'
import type { ChartPoint } from '../api/tables'
import { number } from '../design/texts'
import { Frame, Table } from './Frame'

interface Props {
  name: string
  title: string
  history?: string | undefined
  points: readonly ChartPoint[] | null
  failed: boolean
  label: (x: string | null) => string
  children: (points: readonly ChartPoint[]) => ReactNode
}

/** A chart of one amount each. */
export function Figure({ points, failed, label, children, ...frame }: Props) {
  const total = points?.reduce((sum, { y }) => sum + y, 0) ?? 0
  return (
    <Frame
      {...frame}
      state={points ? 'here' : failed ? 'failed' : 'loading'}
      note={points && <span className="faint number">{number(total)}</span>}
      table={() => <Table title={frame.title} rows={(points ?? []).map(({ x, y }) => ({ name: label(x), cells: [number(y)] }))} />}
    >
      {() => children(points ?? [])}
    </Frame>
  )
}
