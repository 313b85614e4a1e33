import { useRows } from '@tidegate/client/react'
import { useState } from 'react'
import { Link } from 'wouter'
import { deleteRule, putRule } from '../api/commands'
import type { AlertRule, Kpi, RuleKind } from '../api/tables'
import { useBoards, useCommand, useWorkspace } from '../api/workspace'
import { kpiName } from '../dashboard/kpis'
import { Icon } from '../design/icons'
import { number } from '../design/texts'

const SIMPLE: readonly { kind: RuleKind; name: string }[] = [
  { kind: 'mention', name: 'Somebody mentions me' },
  { kind: 'assigned', name: 'I am given a card' },
  { kind: 'overdue', name: 'A card is overdue' },
]

/** What one wants to be told of. */
export function Alerts({ user }: { user: string }) {
  const { tide } = useWorkspace()
  const command = useCommand()
  const { rows } = useRows(tide.rows<AlertRule>('public.alert_rules', { where: 'user_id = $1', params: [user] }))
  const rules = [...rows.values()]
  const everywhere = (kind: RuleKind) => rules.find((rule) => rule.kind === kind && rule.board_id === null)
  const own = rules.filter(({ kind, board_id }) => kind === 'kpi' || kind === 'watch' || board_id !== null)

  const toggle = (kind: RuleKind, enabled: boolean) => {
    const rule = everywhere(kind)
    void command(putRule(rule?.id ?? crypto.randomUUID(), { kind, enabled }))
  }

  return (
    <section className="me-section panel" id="alerts" aria-labelledby="alerts-title">
      <h2 id="alerts-title">Tell me when</h2>
      {SIMPLE.map(({ kind, name }) => (
        <label key={kind} className="switch">
          <span>{name}</span>
          <input type="checkbox" role="switch" checked={everywhere(kind)?.enabled ?? false} onChange={({ target }) => toggle(kind, target.checked)} />
        </label>
      ))}
      {own.length > 0 && (
        <ul className="rules">
          {own.map((rule) => (
            <Rule key={rule.id} rule={rule} />
          ))}
        </ul>
      )}
      <NewMeasure />
    </section>
  )
}

function Rule({ rule }: { rule: AlertRule }) {
  const command = useCommand()
  const boards = useBoards().rows
  const board = rule.board_id ? boards.get(rule.board_id)?.name : undefined
  const words =
    rule.kind === 'kpi' ? `${kpiName(rule.kpi ?? '')} ${rule.comparison ?? 'above'} ${number(rule.threshold ?? 0)}` : rule.kind === 'watch' ? `Card #${rule.entry_id ?? ''} changes` : (SIMPLE.find(({ kind }) => kind === rule.kind)?.name ?? rule.kind)
  return (
    <li data-rule={rule.id}>
      <Icon name={rule.kind === 'kpi' ? 'chart' : 'eye'} size={16} />
      {rule.kind === 'watch' && rule.board_id ? (
        <Link href={`/boards/${rule.board_id}/entries/${rule.entry_id ?? ''}`}>{words}</Link>
      ) : (
        <span>{words}</span>
      )}
      <span className="faint cut">{board}</span>
      <button type="button" className="button" data-kind="quiet" data-icon="" aria-label={`Remove ${words}`} onClick={() => void command(deleteRule(rule.id))}>
        <Icon name="close" size={16} />
      </button>
    </li>
  )
}

function NewMeasure() {
  const { tide } = useWorkspace()
  const command = useCommand()
  const boards = [...useBoards().rows.values()]
  const { rows } = useRows(tide.rows<Kpi>('public.kpi_values', { delivery: 'latest', intervalMs: 1_000 }))
  const [board, setBoard] = useState('')
  const [kpi, setKpi] = useState('open')
  const [comparison, setComparison] = useState<'above' | 'below'>('above')
  const [threshold, setThreshold] = useState('')
  const kpis = [...new Set([...rows.values()].map(({ kpi }) => kpi))]
  const chosen = board || boards[0]?.id
  if (!chosen || kpis.length === 0) return null

  const add = async () => {
    const reply = await command(putRule(crypto.randomUUID(), { kind: 'kpi', board_id: chosen, kpi, comparison, threshold: Number(threshold) }))
    if (reply) setThreshold('')
  }

  return (
    <form
      className="new-measure"
      onSubmit={(event) => {
        event.preventDefault()
        void add()
      }}
    >
      <select className="input" aria-label="Measure" value={kpi} onChange={({ target }) => setKpi(target.value)}>
        {kpis.map((kpi) => (
          <option key={kpi} value={kpi}>
            {kpiName(kpi)}
          </option>
        ))}
      </select>
      <select className="input" aria-label="Comparison" value={comparison} onChange={({ target }) => setComparison(target.value === 'below' ? 'below' : 'above')}>
        <option value="above">above</option>
        <option value="below">below</option>
      </select>
      <input className="input" type="number" step="any" required aria-label="Threshold" placeholder="20" value={threshold} onChange={({ target }) => setThreshold(target.value)} />
      <select className="input" aria-label="Board" value={chosen} onChange={({ target }) => setBoard(target.value)}>
        {boards.map(({ id, name }) => (
          <option key={id} value={id}>
            {name}
          </option>
        ))}
      </select>
      <button type="submit" className="button">
        Add
      </button>
    </form>
  )
}
