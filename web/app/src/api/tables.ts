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
  /** When work on it began. */
  started_at: string | null
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

export type Unit = 'cards' | 'seconds' | 'share' | 'activities' | 'number'

/** What is measured, and how that is called. */
export interface Definition {
  name: string
  title: string
  description: string
  unit: Unit
  /** What its parts are; null for one number a board. */
  dimension: 'state' | 'category' | 'person' | null
  audience: 'members' | 'admins'
  enabled: boolean
  /** Up to when its history was computed. */
  computed_at: string | null
}

/** Without the queries, which may be long. */
export const DEFINITION_COLUMNS = ['name', 'title', 'description', 'unit', 'dimension', 'audience', 'enabled', 'computed_at']

export interface Kpi {
  board_id: Id
  kpi: string
  /** Which part, where it has a dimension; empty for the whole, `-` for what is in no part. */
  item: string
  value: number
  audience: Definition['audience']
  /** Its last values by the minute; minutes without a change are left out. */
  recent: number[]
  measured_at: string
}

/** When what charts are made of was counted last. */
export interface Counted {
  board_id: Id
  counted_at: string
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

/** So many cards in a state at the end of a day. */
export interface FlowPoint {
  x: string
  series: string
  y: number
}

export type Resolution = 'raw' | 'hour' | 'day' | 'month'

export interface Series {
  item: string
  /** Seconds since 1970, and what it came to. */
  points: [at: number, value: number][]
}

export interface Preferences {
  theme?: 'system' | 'light' | 'dark'
}
