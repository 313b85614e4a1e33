import { usePeople, useWorkspace } from '../api/workspace'
import { Connection } from '../app/Connection'
import { Avatar } from '../design/Avatar'
import { Icon } from '../design/icons'
import { useSession } from '../session/useSession'
import { Alerts } from './Alerts'
import { Contact } from './Contact'
import { Looks } from './Looks'
import { Profile } from './Profile'
import './people.css'

/** Oneself, and how one likes it. */
export default function MePage() {
  const { person } = useWorkspace()
  const session = useSession()
  const people = usePeople()
  const user = person && (people.get(person.id) ?? { ...person, hue: 210 })
  return (
    <div className="page me-page">
      <header className="page-head">
        {user && <Avatar user={user} size={44} silent />}
        <h1 className="cut">{user?.name ?? 'Settings'}</h1>
        {user && (
          <button type="button" className="button" onClick={() => void session.signOut()}>
            <Icon name="leave" size={16} />
            Sign out
          </button>
        )}
      </header>
      <div className="me-connection">
        <Connection />
      </div>
      {user && <Profile key={user.id} user={user} />}
      <Looks />
      {user && <Alerts user={user.id} />}
      {user && <Contact user={user.id} />}
    </div>
  )
}
