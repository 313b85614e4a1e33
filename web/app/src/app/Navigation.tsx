import { useMemo } from 'react'
import { Link, useLocation } from 'wouter'
import { useBoards, usePeople, useWorkspace } from '../api/workspace'
import { Avatar } from '../design/Avatar'
import { Icon, type IconName, Mark } from '../design/icons'
import { useUnread } from '../people/useNotifications'
import { useChosenTheme } from '../people/usePreferences'
import { useSession } from '../session/useSession'
import { Connection } from './Connection'
import { hueOf } from './hue'
import { ThemeButton } from './ThemeButton'

interface Place {
  to: string
  name: string
  icon: IconName
}

const BOARDS: Place = { to: '/boards', name: 'Boards', icon: 'board' }
const ACTIVITY: Place = { to: '/activity', name: 'Activity', icon: 'pulse' }
const DASHBOARD: Place = { to: '/dashboard', name: 'Dashboard', icon: 'chart' }
const BELL: Place = { to: '/notifications', name: 'Notifications', icon: 'bell' }
const ME: Place = { to: '/me', name: 'You', icon: 'person' }

/** The side of a wide window. */
export function Sidebar() {
  const { person } = useWorkspace()
  const { rows } = useBoards()
  const people = usePeople()
  const [here] = useLocation()
  const boards = useMemo(() => [...rows.values()].sort((a, b) => a.name.localeCompare(b.name)), [rows])
  const me = person && (people.get(person.id) ?? { ...person, hue: 210 })
  return (
    <aside className="sidebar">
      <Link href="/boards" className="brand">
        <Mark size={28} />
        <span>Tidegate</span>
      </Link>
      <nav aria-label="Main" className="nav">
        <Item place={DASHBOARD} here={here} />
        <Item place={ACTIVITY} here={here} />
        {person && <Item place={BELL} here={here} />}
        <div className="nav-boards">
          <Link href="/boards" className="nav-title" aria-current={here === '/boards' ? 'page' : undefined}>
            Boards
          </Link>
          <ul>
            {boards.map(({ id, name }) => (
              <li key={id}>
                <Link href={`/boards/${id}`} className="nav-item" aria-current={isWithin(here, `/boards/${id}`) ? 'page' : undefined}>
                  <span className="nav-square" style={{ '--hue': hueOf(id) }} aria-hidden="true" />
                  <span className="cut">{name}</span>
                </Link>
              </li>
            ))}
          </ul>
        </div>
      </nav>
      <div className="sidebar-foot">
        <Connection />
        <div className="sidebar-me">
          {me ? (
            <Link href="/me" className="me-link" aria-current={here === '/me' ? 'page' : undefined}>
              <Avatar user={me} size={28} silent />
              <span className="cut">{me.name}</span>
            </Link>
          ) : (
            <span className="viewing">
              <Icon name="eye" size={16} />
              Viewing
            </span>
          )}
          <ThemeButton onTheme={useChosenTheme()} />
          {me && <SignOutButton />}
        </div>
      </div>
    </aside>
  )
}

function SignOutButton() {
  const session = useSession()
  return (
    <button type="button" className="button" data-kind="quiet" data-icon="" aria-label="Sign out" title="Sign out" onClick={() => void session.signOut()}>
      <Icon name="leave" />
    </button>
  )
}

/** The foot of a narrow one. */
export function Dock() {
  const { person } = useWorkspace()
  const [here] = useLocation()
  const places = person ? [BOARDS, DASHBOARD, ACTIVITY, BELL, ME] : [BOARDS, DASHBOARD, ACTIVITY, { ...ME, name: 'Settings', icon: 'gear' as const }]
  return (
    <nav className="dock" aria-label="Main">
      {places.map((place) => (
        <Item key={place.to} place={place} here={here} />
      ))}
    </nav>
  )
}

function Item({ place: { to, name, icon }, here }: { place: Place; here: string }) {
  return (
    <Link href={to} className="nav-item" aria-current={isWithin(here, to) ? 'page' : undefined}>
      <span className="nav-icon">
        <Icon name={icon} />
        {icon === 'bell' && <Unread />}
      </span>
      <span className="nav-name">{name}</span>
    </Link>
  )
}

function Unread() {
  const unread = useUnread()
  if (unread === 0) return null
  return (
    <span className="badge nav-badge" data-unread={unread} key={unread}>
      {unread > 99 ? '99+' : unread}
      <span className="unseen"> unread</span>
    </span>
  )
}

const isWithin = (here: string, place: string) => here === place || here.startsWith(`${place}/`)
