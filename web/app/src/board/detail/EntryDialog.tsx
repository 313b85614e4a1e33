import { useRows } from '@tidegate/client/react'
import { useSyncExternalStore } from 'react'
import { changeEntry, deleteEntry, type FieldChanges } from '../../api/commands'
import type { FullEntry, Id } from '../../api/tables'
import { useMembers, usePeople, useRights, useWorkspace } from '../../api/workspace'
import { Dialog } from '../../design/Dialog'
import { Bones, Empty } from '../../design/Empty'
import { Icon } from '../../design/icons'
import { Menu } from '../../design/Menu'
import { SureButton } from '../../design/SureButton'
import type { BoardStore } from '../store'
import { useStates } from '../useBoard'
import { versionOn } from './base'
import { Body } from './Body'
import { Fields } from './Fields'
import { type LabelChange, relabelled } from './labels'
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
  const live = tide.rows<FullEntry>('public.entries', { where: 'id = $1', params: [entry] })
  const { rows, state } = useRows(live)
  const full = rows.get(entry)
  // The board's cards may come later than this one by itself: that they do not have it says nothing.
  const isGone = state === 'live' && full?.board_id !== board
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
        {isGone ? <Empty icon="board" title="This card is gone" /> : <Bones count={4} height={56} />}
      </Dialog>
    )
  }

  const edit = (changes: FieldChanges) => void store.attempt(entry, changes, () => changeEntry(entry, changes))

  const entitle = async (title: string, base: string) =>
    (await store.attempt(entry, { title }, (now) => changeEntry(entry, { title }, versionOn(base, 'title', now, full)))) !== null

  const describe = async (body: string, base: string) => {
    const reply = await store.attempt(entry, {}, (now) => changeEntry(entry, { body }, versionOn(base, 'body', now, full)))
    // Until it shows the words stay in the field: below it there are still the old ones.
    if (reply) await live.seen({ tx: reply.tx, lsn: reply.lsn }).catch(() => undefined)
    return reply !== null
  }

  /** Others may have set labels meanwhile, which stay. */
  const relabel = (change: LabelChange) =>
    void store.attempt(entry, { labels: relabelled(card.labels, change) }, (now) => changeEntry(entry, { labels: relabelled(now.labels, change) }, now.version), { again: true })

  const tools = (
    <>
      {person && <WatchButton board={board} entry={entry} />}
      {rights.edit && (
        <Menu kind="quiet" icon name="More" align="end" label={<Icon name="more" />}>
          {() => (
            <SureButton
              role="menuitem"
              className="menu-item danger"
              sure="Delete it for everybody"
              onSure={() => {
                onClose()
                void store.attempt(entry, 'gone', () => deleteEntry(entry))
              }}
            >
              <Icon name="trash" size={16} />
              Delete card
            </SureButton>
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
          <Title key={`title ${entry}`} title={card.title} mayEdit={rights.edit} onSave={entitle} />
          {rights.edit && <Ways board={board} card={card} store={store} isAdmin={rights.admin} />}
          <Body key={`body ${entry}`} body={full.body} mayEdit={rights.edit} onSave={describe} />
        </div>
        <Fields board={board} card={card} mayEdit={rights.edit} onEdit={edit} onLabel={relabel} />
        <Talk board={board} entry={entry} mayEdit={rights.edit} isAdmin={rights.admin} people={people} members={members} />
      </div>
    </Dialog>
  )
}
