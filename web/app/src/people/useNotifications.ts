import { useRows } from '@tidegate/client/react'
import { useMemo } from 'react'
import { byMoment } from '../api/moments'
import type { Notification } from '../api/tables'
import { useWorkspace } from '../api/workspace'

const SHOWN = 200

export function useNotifications() {
  const { tide, person } = useWorkspace()
  const rows = person ? tide.rows<Notification>('public.notifications', { where: 'user_id = $1', params: [person.id], orderBy: 'created_at desc', limit: SHOWN }) : null
  const { rows: all, state } = useRows(rows)
  const sorted = useMemo(() => [...all.values()].sort((a, b) => byMoment(b.created_at, a.created_at) || Number(b.id) - Number(a.id)), [all])
  return { notifications: sorted, state }
}

export function useUnread(): number {
  const { notifications } = useNotifications()
  return useMemo(() => notifications.reduce((count, { read_at }) => count + (read_at ? 0 : 1), 0), [notifications])
}
