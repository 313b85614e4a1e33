import { useState } from 'react'
import { changeBoard, deleteBoard, removeMember } from '../../api/commands'
import type { Id } from '../../api/tables'
import { useBoards, useCommand, useMembers, useRights, useWorkspace } from '../../api/workspace'
import { Dialog } from '../../design/Dialog'
import { Icon } from '../../design/icons'
import { Categories } from './Categories'
import { Members } from './Members'
import { Columns } from './Columns'
import './settings.css'

/** A board's people, columns and categories. */
export default function SettingsDialog({ board: id, onClose }: { board: Id; onClose: () => void }) {
  const command = useCommand()
  const { person } = useWorkspace()
  const { admin, edit } = useRights(id)
  const board = useBoards().rows.get(id)
  const belongs = [...useMembers(id).rows.values()].some(({ user_id }) => user_id === person?.id)
  const [name, setName] = useState<string | null>(null)
  const [sure, setSure] = useState(false)

  const rename = async () => {
    const words = name?.trim()
    if (!words || words === board?.name || (await command(changeBoard(id, { name: words })))) setName(null)
  }

  return (
    <Dialog drawer title="Board settings" onClose={onClose}>
      <div className="settings">
        {admin && (
          <form
            className="me-row"
            onSubmit={(event) => {
              event.preventDefault()
              void rename()
            }}
          >
            <label className="field">
              <span>Name</span>
              <input className="input" maxLength={200} required value={name ?? board?.name ?? ''} onChange={({ target }) => setName(target.value)} onBlur={() => void rename()} />
            </label>
          </form>
        )}
        <Members board={id} isAdmin={admin} />
        <Columns board={id} isAdmin={admin} />
        <Categories board={id} mayEdit={edit} />
        <section className="settings-end">
          {person && belongs && (
            <button type="button" className="button" data-kind="bad" onClick={() => void command(removeMember(id, person.id))}>
              <Icon name="leave" size={16} />
              Leave board
            </button>
          )}
          {admin &&
            (sure ? (
              <button type="button" className="button" data-kind="bad" onClick={() => void command(deleteBoard(id))}>
                Delete it with all cards
              </button>
            ) : (
              <button type="button" className="button" data-kind="bad" onClick={() => setSure(true)}>
                <Icon name="trash" size={16} />
                Delete board
              </button>
            ))}
        </section>
      </div>
    </Dialog>
  )
}
