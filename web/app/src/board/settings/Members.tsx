import { useState } from 'react'
import { putMember, removeMember } from '../../api/commands'
import type { Id, Role } from '../../api/tables'
import { useCommand, useMembers, usePeople, useWorkspace } from '../../api/workspace'
import { Avatar } from '../../design/Avatar'
import { Icon } from '../../design/icons'
import { SureButton } from '../../design/SureButton'

const ROLES: readonly { role: Role; name: string }[] = [
  { role: 'viewer', name: 'Viewer' },
  { role: 'member', name: 'Member' },
  { role: 'admin', name: 'Admin' },
]

const roleOf = (value: string): Role => ROLES.find(({ role }) => role === value)?.role ?? 'viewer'

/** Who belongs to the board, and as what. */
export function Members({ board, isAdmin }: { board: Id; isAdmin: boolean }) {
  const command = useCommand()
  const { person } = useWorkspace()
  const people = usePeople()
  const members = [...useMembers(board).rows.values()].sort((a, b) => (people.get(a.user_id)?.name ?? a.user_id).localeCompare(people.get(b.user_id)?.name ?? b.user_id))
  const belonging = new Set(members.map(({ user_id }) => user_id))
  const others = [...people.values()].filter(({ id }) => !belonging.has(id)).sort((a, b) => a.name.localeCompare(b.name))
  const [chosen, setChosen] = useState('')

  return (
    <section aria-labelledby="members">
      <h3 id="members">Members</h3>
      <ul className="settings-list">
        {members.map(({ user_id, role }) => {
          const user = people.get(user_id)
          const name = user?.name ?? user_id
          return (
            <li key={user_id} data-member={user_id}>
              <Avatar user={user} size={28} silent />
              <span className="cut settings-name">
                {name}
                {user_id === person?.id && <span className="faint"> (you)</span>}
              </span>
              <select className="input" aria-label={`Role of ${name}`} disabled={!isAdmin} value={role} onChange={({ target }) => void command(putMember(board, user_id, roleOf(target.value)))}>
                {ROLES.map(({ role, name }) => (
                  <option key={role} value={role}>
                    {name}
                  </option>
                ))}
              </select>
              {isAdmin && (
                <SureButton kind="quiet" icon name={`Remove ${name}`} sure="Remove" onSure={() => void command(removeMember(board, user_id))}>
                  <Icon name="close" size={16} />
                </SureButton>
              )}
            </li>
          )
        })}
      </ul>
      {isAdmin && others.length > 0 && (
        <form
          className="settings-add"
          onSubmit={(event) => {
            event.preventDefault()
            if (chosen) void command(putMember(board, chosen, 'member')).then(() => setChosen(''))
          }}
        >
          <select className="input" aria-label="Person" value={chosen} onChange={({ target }) => setChosen(target.value)}>
            <option value="">Add somebody …</option>
            {others.map(({ id, name }) => (
              <option key={id} value={id}>
                {name}
              </option>
            ))}
          </select>
          <button type="submit" className="button" disabled={!chosen}>
            Add
          </button>
        </form>
      )}
    </section>
  )
}
