import { transitEntry } from '../../api/commands'
import type { Id } from '../../api/tables'
import { Icon } from '../../design/icons'
import type { Card } from '../columns'
import type { BoardStore } from '../store'
import { useStates, useTransitions } from '../useBoard'

interface Props {
  board: Id
  card: Card
  store: BoardStore
  isAdmin: boolean
}

/** Where the workflow lets the card go from here. */
export function Ways({ board, card, store, isAdmin }: Props) {
  const states = useStates(board)
  const transitions = useTransitions(board)
  const order = (id: Id) => states.findIndex((state) => state.id === id)
  const here = order(card.state_id)
  const ways = [...transitions.values()]
    .filter(({ from_state_id, role }) => from_state_id === card.state_id && (role === 'member' || isAdmin))
    .map((way) => ({ ...way, to: states[order(way.to_state_id)], isBack: order(way.to_state_id) < here }))
    .sort((a, b) => order(a.to_state_id) - order(b.to_state_id))

  if (ways.length === 0) return null
  return (
    <div className="ways" role="group" aria-label="Workflow">
      {ways.map(({ id, name, to, to_state_id, isBack }) => (
        <button
          key={id}
          type="button"
          className="button way"
          data-transition={name}
          aria-label={`${words(name)}: to ${to?.name ?? ''}`}
          title={`To ${to?.name ?? ''}`}
          onClick={() => {
            const last = store.columns.list(to_state_id).at(-1)
            const patch = { state_id: to_state_id, position: last?.position ?? 'V', bias: 1 as const }
            void store.attempt(card.id, patch, (now) => transitEntry(now, name))
          }}
        >
          {isBack && <Icon name="back" size={14} />}
          {words(name)}
          <span className="dot" data-kind={to?.kind} aria-hidden="true" />
        </button>
      ))}
    </div>
  )
}

function words(name: string): string {
  const text = name.replaceAll(/[_-]/g, ' ')
  return text.charAt(0).toUpperCase() + text.slice(1)
}
