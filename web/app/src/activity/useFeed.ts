import type { RowsOptions } from '@tidegate/client'
import type { Activity, Id } from '../api/tables'
import { type Paged, usePaged } from '../api/usePaged'
import { useWorkspace } from '../api/workspace'
import { newestFirst } from './groups'

/** So many are followed live; older ones are read on demand. */
const NEWEST = 50

/** What happened on a board, to one of its cards, or wherever: live, and as far back as one likes. */
export function useFeed(board: Id | null, entry?: Id): Paged<Activity> {
  const { tide } = useWorkspace()
  const where: RowsOptions = entry ? { where: 'board_id = $1 AND entry_id = $2', params: [board, entry] } : board ? { where: 'board_id = $1', params: [board] } : {}
  return usePaged(tide.rows<Activity>('public.activities', { ...where, orderBy: 'at desc', limit: NEWEST }), newestFirst)
}
