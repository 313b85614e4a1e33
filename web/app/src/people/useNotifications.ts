import { useRows } from '@tidegate/client/react'
import { useMemo } from 'react'
import { byMoment } from '../api/moments'
import type { Notification } from '../api/tables'
import { type Paged, usePaged } from '../api/usePaged'
import { useWorkspace } from '../api/workspace'

/** So many are followed live, and counted; older ones are read on demand. */
const NEWEST = 200

function useNewest() {
  const { tide, person } = useWorkspace()
  return person ? tide.rows<Notification>('public.notifications', { where: 'user_id = $1', params: [person.id], orderBy: 'created_at desc', limit: NEWEST }) : null
}

const newestFirst = (a: Notification, b: Notification) => byMoment(b.created_at, a.created_at) || Number(b.id) - Number(a.id)

export const useNotifications = (): Paged<Notification> => usePaged(useNewest(), newestFirst)

export function useUnread(): number {
  const { rows } = useRows(useNewest())
  return useMemo(() => [...rows.values()].filter(({ read_at }) => !read_at).length, [rows])
}
