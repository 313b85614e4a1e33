import { useRows } from '@tidegate/client/react'
import { useSyncExternalStore } from 'react'
import { changeEntry, deleteEntry, type EntryChanges } from '../../api/commands'
import type { FullEntry, Id } from '../../api/tables'
import { useMembers, usePeople, useRights, useWorkspace } from '../../api/workspace'
import { Dialog } from '../../design/Dialog'
import { Bones, Empty } from '../../design/Empty'
import { Icon } from '../../design/icons'
import { Menu } from '../../design/Menu'
import type { BoardStore } from '../store'
import { useStates } from '../useBoard'
import { Body } from './Body'
import { Fields } from './Fields'
import { Talk } from './Talk'
import { Title } from './Title'
import { Ways } from './Ways'
import { WatchButton } from './WatchButton'
import './detail.css'

interface Props {
  board: Id
  entry: Id
  store: BoardStore
  onClose: () => void
}

/** A card, opened. */
export default function EntryDialog({ board, entry, store, onClose }: Props) {
  const { tide, person } = useWorkspace()
  const { rows, state } = useRows(tide.rows<FullEntry>('public.entries', { where: 'id = $1', params: [entry] }))
  const full = rows.get(entry)
  useSyncExternalStore(store.subscribe, () => store.turn)
  // What was asked for here is shown at once, on top of what the stream says.
  const card = store.get(entry)
  const rights = useRights(board)
  const people = usePeople()
  const members = useMembers(board).rows
  const stateName = useStates(board).find(({ id }) => id === card?.state_id)

  if (!full || !card || full.board_id !== board) {
    return (
      <Dialog drawer title="Card" onClose={onClose}>
        {state === 'live' ? <Empty icon="board" title="This card is gone" /> : <Bones count={4} height={56} />}
      </Dialog>
    )
  }

  const edit = async (changes: EntryChanges, version?: number) => {
    const { body: _, ...shown } = changes
    return (await store.attempt(entry, shown, changeEntry(entry, changes, version))) !== null
  }

  const tools = (
    <>
      {person && <WatchButton board={board} entry={entry} />}
      {rights.edit && (
        <Menu kind="quiet" icon name="More" align="end" label={<Icon name="more" />}>
          {() => (
            <button
              type="button"
              role="menuitem"
              className="menu-item danger"
              onClick={() => {
                onClose()
                void store.attempt(entry, 'gone', deleteEntry(entry))
              }}
            >
              <Icon name="trash" size={16} />
              Delete card
            </button>
          )}
        </Menu>
      )}
    </>
  )

  return (
    <Dialog
      drawer
      onClose={onClose}
      returnTo={() => document.querySelector(`[data-entry="${CSS.escape(entry)}"] a`)}
      tools={tools}
      title={
        <span className="detail-where">
          <span className="dot" data-kind={stateName?.kind} aria-hidden="true" />
          {stateName?.name}
          <span className="faint number">#{entry}</span>
        </span>
      }
    >
      <div className="detail" data-detail={entry} data-phase={card.phase}>
        <div className="detail-main">
          <Title key={`title ${entry}`} title={card.title} mayEdit={rights.edit} onSave={(title) => edit({ title }, full.version)} />
          {rights.edit && <Ways board={board} card={card} store={store} isAdmin={rights.admin} />}
          <Body key={`body ${entry}`} body={full.body} mayEdit={rights.edit} onSave={(body) => edit({ body }, full.version)} />
        </div>
        <Fields board={board} card={card} mayEdit={rights.edit} onEdit={(changes) => void edit(changes)} />
        <Talk board={board} entry={entry} mayEdit={rights.edit} isAdmin={rights.admin} people={people} members={members} />
      </div>
    </Dialog>
  )
}
