import { useStatus } from '@tidegate/client/react'
import { lazy, Suspense, useSyncExternalStore } from 'react'
import { hostOf, useWorkspace } from '../api/workspace'
import type { Transaction } from '../api/wire'
import { clock } from '../design/texts'
import './connection.css'

const DemoControls = lazy(() => import('../demo/DemoControls'))

const SHOWN = 12

export default function ConnectionPanel() {
  const { tide, wire, page } = useWorkspace()
  const status = useStatus(tide)
  const transactions = useSyncExternalStore(wire.subscribe, () => wire.transactions)
  const latency = useSyncExternalStore(wire.subscribe, () => wire.latency)
  return (
    <div className="wire" data-wire="">
      <dl className="wire-facts">
        <Fact name="Server" value={status.server ? hostOf(status.server) : '–'} />
        <Fact name="Round trip" value={milliseconds(status.latencyMs)} />
        <Fact name="Commit to screen" value={milliseconds(latency)} />
        <Fact name="Pending" value={String(status.pending)} />
      </dl>
      {page.demo && (
        <Suspense fallback={null}>
          <DemoControls control={page.demo.control} />
        </Suspense>
      )}
      <section aria-labelledby="wire-title">
        <h3 id="wire-title" className="menu-title">
          On the wire
        </h3>
        <ol className="wire-list" tabIndex={0} aria-labelledby="wire-title">
          {transactions.length === 0 && <li className="faint">Nothing yet</li>}
          {transactions.slice(0, SHOWN).map((transaction) => (
            <Line key={transaction.tx} transaction={transaction} />
          ))}
        </ol>
      </section>
    </div>
  )
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd className="number">{value}</dd>
    </div>
  )
}

function Line({ transaction: { tx, at, latency, touched } }: { transaction: Transaction }) {
  return (
    <li data-tx={tx}>
      <code>{tx}</code>
      <span className="cut">{touched.map(({ table, inserted, updated, deleted }) => `${table} ${signs(inserted, updated, deleted)}`).join(' · ')}</span>
      <time dateTime={new Date(at).toISOString()}>{latency === null ? clock(new Date(at).toISOString()) : milliseconds(latency)}</time>
    </li>
  )
}

function signs(inserted: number, updated: number, deleted: number): string {
  return [inserted && `+${inserted}`, updated && `~${updated}`, deleted && `−${deleted}`].filter(Boolean).join(' ')
}

function milliseconds(value: number | null | undefined): string {
  return value === null || value === undefined ? '–' : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`
}
