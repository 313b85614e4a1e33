/** Rows as the stream and the commands write them: 64-bit numbers are texts, moments RFC 3339 in UTC. */

export type Id = string
export type UserId = string

export interface User {
  id: UserId
  name: string
  hue: number
}

export interface Board {
  id: Id
  name: string
  description: string
  created_by: UserId | null
  version: number
  created_at: string
}

export type Role = 'viewer' | 'member' | 'admin'

export interface Member {
  board_id: Id
  user_id: UserId
  role: Role
  shares_contact: boolean
}

export interface Category {
  id: Id
  board_id: Id
  name: string
  hue: number
  version: number
}

export type StateKind = 'open' | 'active' | 'done'

export interface State {
  id: Id
  board_id: Id
  name: string
  kind: StateKind
  ordinal: number
  wip_limit: number | null
  version: number
}

export interface Transition {
  id: Id
  board_id: Id
  name: string
  from_state_id: Id
  to_state_id: Id
  role: 'member' | 'admin'
  required: string[]
}

/** A card as boards show it: without its body, which may be long. */
export interface Entry {
  id: Id
  board_id: Id
  title: string
  state_id: Id
  position: string
  priority: number
  labels: string[]
  category_id: Id | null
  assignee_id: UserId | null
  due_at: string | null
  created_by: UserId | null
  version: number
  created_at: string
  updated_at: string
  closed_at: string | null
}

export interface FullEntry extends Entry {
  body: string
}

export const ENTRY_COLUMNS = [
  'id',
  'board_id',
  'title',
  'state_id',
  'position',
  'priority',
  'labels',
  'category_id',
  'assignee_id',
  'due_at',
  'created_by',
  'version',
  'created_at',
  'updated_at',
  'closed_at',
]

export interface Comment {
  id: Id
  board_id: Id
  entry_id: Id
  author_id: UserId | null
  body: string
  version: number
  created_at: string
  updated_at: string
}

export interface Activity {
  id: Id
  board_id: Id
  at: string
  actor_id: UserId | null
  subject: 'board' | 'member' | 'category' | 'workflow' | 'entry' | 'comment'
  action: string
  entry_id: Id | null
  detail: Record<string, unknown>
}

export interface Kpi {
  board_id: Id
  kpi: string
  value: number
  recent: number[]
  measured_at: string
}

export type RuleKind = 'mention' | 'assigned' | 'watch' | 'overdue' | 'kpi'

export interface AlertRule {
  id: string
  user_id: UserId
  kind: RuleKind
  board_id: Id | null
  entry_id: Id | null
  kpi: string | null
  comparison: 'above' | 'below' | null
  threshold: number | null
  enabled: boolean
  version: number
}

export interface Notification {
  id: Id
  user_id: UserId
  board_id: Id | null
  entry_id: Id | null
  kind: string
  detail: Record<string, unknown>
  created_at: string
  read_at: string | null
}

export interface ChartPoint {
  x: string | null
  y: number
}

export interface Preferences {
  theme?: 'system' | 'light' | 'dark'
}
