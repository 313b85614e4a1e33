import { changeBoard, deleteBoard, removeMember } from '../../api/commands'
import type { Id } from '../../api/tables'
import { useBoards, useCommand, useMembers, useRights, useWorkspace } from '../../api/workspace'
import { Dialog } from '../../design/Dialog'
import { Icon } from '../../design/icons'
import { SureButton } from '../../design/SureButton'
import { Categories } from './Categories'
import { Members } from './Members'
import { Columns } from './Columns'
import { useField } from './useField'
import './settings.css'

/** A board's people, columns and categories. */
export default function SettingsDialog({ board: id, onClose }: { board: Id; onClose: () => void }) {
  const command = useCommand()
  const { person } = useWorkspace()
  const { admin, edit } = useRights(id)
  const board = useBoards().rows.get(id)
  const belongs = [...useMembers(id).rows.values()].some(({ user_id }) => user_id === person?.id)
  const name = useField(board?.name ?? '', (words) => command(changeBoard(id, { name: words })))

  return (
    <Dialog drawer title="Board settings" onClose={onClose}>
      <div className="settings">
        {admin && (
          <div className="me-row">
            <label className="field">
              <span>Name</span>
              <input className="input" maxLength={200} required {...name} />
            </label>
          </div>
        )}
        <Members board={id} isAdmin={admin} />
        <Columns board={id} isAdmin={admin} />
        <Categories board={id} mayEdit={edit} />
        <section className="settings-end">
          {person && belongs && (
            <SureButton kind="bad" sure="Leave it now" onSure={() => void command(removeMember(id, person.id))}>
              <Icon name="leave" size={16} />
              Leave board
            </SureButton>
          )}
          {admin && (
            <SureButton kind="bad" sure="Delete it with all cards" onSure={() => void command(deleteBoard(id))}>
              <Icon name="trash" size={16} />
              Delete board
            </SureButton>
          )}
        </section>
      </div>
    </Dialog>
  )
}
