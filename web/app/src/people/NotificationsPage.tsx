import { useNames } from '../activity/useNames'
import { Link } from 'wouter'
import { deleteNotification, readAllNotifications, readNotification } from '../api/commands'
import type { Notification } from '../api/tables'
import { useBoards, useCommand, usePeople } from '../api/workspace'
import { useDefinitions } from '../dashboard/useMeasures'
import { Avatar } from '../design/Avatar'
import { Bones, Empty } from '../design/Empty'
import { Icon } from '../design/icons'
import { More } from '../design/More'
import { ago } from '../design/texts'
import { told } from './told'
import { useNotifications } from './useNotifications'
import { useTitle } from '../app/useTitle'
import './people.css'

/** What one was told. */
export default function NotificationsPage() {
  useTitle('Notifications')
  const command = useCommand()
  const { rows: notifications, state, more, ...paging } = useNotifications()
  const unread = notifications.some(({ read_at }) => !read_at)
  return (
    <div className="page notifications-page">
      <header className="page-head">
        <h1>Notifications</h1>
        <Link href="/me#alerts" className="button" data-kind="quiet">
          Alerts
        </Link>
        <button type="button" className="button" disabled={!unread} onClick={() => void command(readAllNotifications())}>
          <Icon name="check" size={16} />
          Mark all read
        </button>
      </header>
      {notifications.length === 0 && (state === 'live' ? <Empty icon="bell" title="Nothing new" /> : <Bones count={5} height={64} />)}
      <ul className="notifications">
        {notifications.map((notification) => (
          <Item key={notification.id} notification={notification} />
        ))}
      </ul>
      {notifications.length > 0 && more && <More {...paging} />}
    </div>
  )
}

function Item({ notification }: { notification: Notification }) {
  const command = useCommand()
  const people = usePeople()
  const boards = useBoards().rows
  const { actor, text, quote } = told(notification, useNames(), useDefinitions())
  const user = actor ? people.get(actor) : undefined
  const { id, board_id, read_at, created_at } = notification
  const to = placeOf(notification)
  const isUnread = read_at === null
  return (
    <li className="notification" data-notification={id} data-unread={isUnread || undefined}>
      {user ? (
        <Avatar user={user} size={32} silent />
      ) : (
        <span className="notification-sign">
          <Icon name={notification.kind === 'kpi' ? 'chart' : 'clock'} size={16} />
        </span>
      )}
      <div className="notification-body">
        <Link href={to} onClick={() => isUnread && void command(readNotification(id))}>
          {user && <strong>{user.name} </strong>}
          {text}
          {isUnread && <span className="unseen"> (unread)</span>}
        </Link>
        {quote && <q>{quote}</q>}
        <p className="faint">
          {board_id && boards.get(board_id)?.name}
          {board_id && ' · '}
          <time dateTime={created_at}>{ago(created_at)}</time>
        </p>
      </div>
      {isUnread && (
        <button type="button" className="button" data-kind="quiet" data-icon="" aria-label="Mark read" title="Mark read" onClick={() => void command(readNotification(id))}>
          <Icon name="check" size={16} />
        </button>
      )}
      <button type="button" className="button" data-kind="quiet" data-icon="" aria-label="Delete" title="Delete" onClick={() => void command(deleteNotification(id))}>
        <Icon name="close" size={16} />
      </button>
    </li>
  )
}

/** Where what it is about is seen. */
function placeOf({ kind, board_id, entry_id, detail }: Notification): string {
  if (!board_id) return '/notifications'
  if (entry_id) return `/boards/${board_id}/entries/${entry_id}`
  return kind === 'kpi' && typeof detail['kpi'] === 'string' ? `/dashboard/${board_id}/${detail['kpi']}` : `/dashboard/${board_id}`
}
