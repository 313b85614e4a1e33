import { useState } from 'react'
import { changeState, createState, createTransition, deleteState } from '../../api/commands'
import type { Id, State, StateKind } from '../../api/tables'
import { useCommand } from '../../api/workspace'
import { Icon } from '../../design/icons'
import { useStates } from '../useBoard'
import { useField } from './useField'

const KINDS: readonly { kind: StateKind; name: string }[] = [
  { kind: 'open', name: 'Not begun' },
  { kind: 'active', name: 'In work' },
  { kind: 'done', name: 'Done' },
]

/** The states of the workflow, from left to right. */
export function Columns({ board, isAdmin }: { board: Id; isAdmin: boolean }) {
  const states = useStates(board)
  return (
    <section aria-labelledby="columns">
      <h3 id="columns">Columns</h3>
      <ul className="settings-list">
        {states.map((state) => (
          <Column key={state.id} state={state} isAdmin={isAdmin} />
        ))}
      </ul>
      {isAdmin && <NewColumn board={board} states={states} />}
    </section>
  )
}

function Column({ state, isAdmin }: { state: State; isAdmin: boolean }) {
  const command = useCommand()
  const name = useField(state.name, (words) => command(changeState(state.id, { name: words })))
  const limit = useField(state.wip_limit === null ? '' : String(state.wip_limit), (most) => command(changeState(state.id, { wip_limit: most ? Number(most) : null })), { mayBeEmpty: true })

  return (
    <li data-column={state.id}>
      <span className="dot" data-kind={state.kind} aria-hidden="true" />
      <input className="input settings-name" aria-label="Column name" disabled={!isAdmin} maxLength={100} {...name} />
      <input
        className="input settings-limit"
        type="number"
        min={1}
        max={10_000}
        aria-label={`Limit of ${state.name}`}
        title="The most cards at once"
        placeholder="∞"
        disabled={!isAdmin}
        {...limit}
      />
      {isAdmin && (
        <button type="button" className="button" data-kind="quiet" data-icon="" aria-label={`Delete ${state.name}`} onClick={() => void command(deleteState(state.id))}>
          <Icon name="close" size={16} />
        </button>
      )}
    </li>
  )
}

function NewColumn({ board, states }: { board: Id; states: readonly State[] }) {
  const command = useCommand()
  const [name, setName] = useState('')
  const [kind, setKind] = useState<StateKind>('active')

  const add = async () => {
    const reply = await command<State>(createState(board, name.trim(), kind))
    if (!reply) return
    setName('')
    // A column without a way to it could not be used: every other one gets one, there and back.
    for (const other of states) {
      await command(createTransition(board, other.id, reply.row.id, `to-${reply.row.id}`))
      await command(createTransition(board, reply.row.id, other.id, `to-${other.id}`))
    }
  }

  return (
    <form
      className="settings-add"
      onSubmit={(event) => {
        event.preventDefault()
        void add()
      }}
    >
      <input className="input" aria-label="New column" placeholder="New column" maxLength={100} value={name} onChange={({ target }) => setName(target.value)} />
      <select className="input settings-kind" aria-label="Kind" value={kind} onChange={({ target }) => setKind(KINDS.find(({ kind }) => kind === target.value)?.kind ?? 'active')}>
        {KINDS.map(({ kind, name }) => (
          <option key={kind} value={kind}>
            {name}
          </option>
        ))}
      </select>
      <button type="submit" className="button" disabled={!name.trim()}>
        Add
      </button>
    </form>
  )
}
