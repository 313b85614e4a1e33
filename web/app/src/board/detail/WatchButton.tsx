import { useRows } from '@tidegate/client/react'
import { useState } from 'react'
import { deleteRule, putRule } from '../../api/commands'
import type { AlertRule, Id } from '../../api/tables'
import { useCommand, useWorkspace } from '../../api/workspace'
import { Icon } from '../../design/icons'

/** Whether one is told of what happens to a card. */
export function WatchButton({ board, entry }: { board: Id; entry: Id }) {
  const { tide, person } = useWorkspace()
  const command = useCommand()
  const [busy, setBusy] = useState(false)
  const { rows } = useRows(person ? tide.rows<AlertRule>('public.alert_rules', { where: 'user_id = $1', params: [person.id] }) : null)
  const rule = [...rows.values()].find(({ kind, entry_id }) => kind === 'watch' && entry_id === entry)
  const toggle = async () => {
    setBusy(true)
    await command(rule ? deleteRule(rule.id) : putRule(crypto.randomUUID(), { kind: 'watch', board_id: board, entry_id: entry }))
    setBusy(false)
  }
  return (
    <button type="button" className="button" data-kind="quiet" aria-pressed={rule !== undefined} disabled={busy} onClick={() => void toggle()}>
      <Icon name="eye" size={16} />
      {rule ? 'Watching' : 'Watch'}
    </button>
  )
}
