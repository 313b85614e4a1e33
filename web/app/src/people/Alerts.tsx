import { useRows } from '@tidegate/client/react'
import { useState } from 'react'
import { Link } from 'wouter'
import { deleteRule, putRule } from '../api/commands'
import type { AlertRule, RuleKind } from '../api/tables'
import { useBoards, useCommand, useWorkspace } from '../api/workspace'
import { type Definitions, titleOf, wholes } from '../dashboard/kpis'
import { amount, writtenIn } from '../dashboard/units'
import { useDefinitions, useValues } from '../dashboard/useMeasures'
import { Icon } from '../design/icons'

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
  const words = inWords(rule, useDefinitions())
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

function inWords({ kind, kpi, comparison, threshold, entry_id }: AlertRule, definitions: Definitions): string {
  if (kind === 'watch') return `Card #${entry_id ?? ''} changes`
  if (kind !== 'kpi') return SIMPLE.find((simple) => simple.kind === kind)?.name ?? kind
  const unit = definitions.get(kpi ?? '')?.unit ?? 'number'
  return `${titleOf(definitions, kpi ?? '')} ${comparison ?? 'above'} ${amount(threshold ?? 0, unit)}`
}

function NewMeasure() {
  const command = useCommand()
  const boards = [...useBoards().rows.values()]
  const definitions = useDefinitions()
  const values = [...useValues().values()]
  const [board, setBoard] = useState('')
  const [kpi, setKpi] = useState('open')
  const [comparison, setComparison] = useState<'above' | 'below'>('above')
  const [threshold, setThreshold] = useState('')
  const chosen = board || boards[0]?.id
  // What only admins see is theirs to follow.
  const kpis = wholes(definitions).filter(({ name, audience }) => audience === 'members' || values.some(({ kpi, board_id }) => kpi === name && board_id === chosen))
  // Where nothing is measured nothing gets past anything.
  if (!chosen || kpis.length === 0 || values.length === 0) return null
  const written = writtenIn(definitions.get(kpi)?.unit ?? 'number')

  const add = async () => {
    const reply = await command(putRule(crypto.randomUUID(), { kind: 'kpi', board_id: chosen, kpi, comparison, threshold: Number(threshold) * written.factor }))
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
        {kpis.map(({ name, title }) => (
          <option key={name} value={name}>
            {title}
          </option>
        ))}
      </select>
      <select className="input" aria-label="Comparison" value={comparison} onChange={({ target }) => setComparison(target.value === 'below' ? 'below' : 'above')}>
        <option value="above">above</option>
        <option value="below">below</option>
      </select>
      <span className="new-measure-threshold" data-unit={written.name}>
        <input className="input" type="number" step="any" required aria-label={written.name ? `Threshold in ${written.name}` : 'Threshold'} placeholder="20" value={threshold} onChange={({ target }) => setThreshold(target.value)} />
      </span>
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
