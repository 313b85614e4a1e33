import { type Command, path } from './http'
import type { AlertRule, Entry, Id, Preferences, Role, StateKind, UserId } from './tables'

/** The commands of docs/application.md that this page gives. */

export interface Spot {
  state: Id
  after?: Id | undefined
  before?: Id | undefined
}

export interface FieldChanges {
  priority?: number
  category_id?: Id | null
  assignee_id?: UserId | null
  due_at?: string | null
}

export interface EntryChanges extends FieldChanges {
  title?: string
  body?: string
  labels?: string[]
}

type NewEntry = EntryChanges & { title: string; state_id?: Id; before?: Id }

export const moveEntry = (entry: Entry, spot: Spot): Command => ({
  method: 'POST',
  path: path`/v1/entries/${entry.id}/move`,
  body: spot,
  version: entry.version,
})

export const transitEntry = (entry: Entry, name: string): Command => ({
  method: 'POST',
  path: path`/v1/entries/${entry.id}/transitions/${name}`,
  body: {},
  version: entry.version,
})

export const createEntry = (board: Id, entry: NewEntry): Command => ({ method: 'POST', path: path`/v1/boards/${board}/entries`, body: entry })

/** Of fields that others did not touch no version is needed: they stay as they are. */
export const changeEntry = (entry: Id, changes: EntryChanges, version?: number): Command => ({
  method: 'PATCH',
  path: path`/v1/entries/${entry}`,
  body: changes,
  version,
})

export const deleteEntry = (entry: Id): Command => ({ method: 'DELETE', path: path`/v1/entries/${entry}` })

export const createComment = (entry: Id, body: string): Command => ({ method: 'POST', path: path`/v1/entries/${entry}/comments`, body: { body } })
export const changeComment = (comment: Id, body: string): Command => ({ method: 'PATCH', path: path`/v1/comments/${comment}`, body: { body } })
export const deleteComment = (comment: Id): Command => ({ method: 'DELETE', path: path`/v1/comments/${comment}` })

export const createBoard = (name: string, description: string): Command => ({ method: 'POST', path: '/v1/boards', body: { name, description } })
export const changeBoard = (board: Id, changes: { name?: string; description?: string }): Command => ({ method: 'PATCH', path: path`/v1/boards/${board}`, body: changes })
export const deleteBoard = (board: Id): Command => ({ method: 'DELETE', path: path`/v1/boards/${board}` })

export const putMember = (board: Id, user: UserId, role: Role): Command => ({ method: 'PUT', path: path`/v1/boards/${board}/members/${user}`, body: { role } })
export const removeMember = (board: Id, user: UserId): Command => ({ method: 'DELETE', path: path`/v1/boards/${board}/members/${user}` })

export const createState = (board: Id, name: string, kind: StateKind): Command => ({ method: 'POST', path: path`/v1/boards/${board}/workflow/states`, body: { name, kind } })
export const changeState = (state: Id, changes: { name?: string; ordinal?: number; wip_limit?: number | null }): Command => ({ method: 'PATCH', path: path`/v1/workflow-states/${state}`, body: changes })
export const deleteState = (state: Id): Command => ({ method: 'DELETE', path: path`/v1/workflow-states/${state}` })
export const createTransition = (board: Id, from: Id, to: Id, name: string): Command => ({
  method: 'POST',
  path: path`/v1/boards/${board}/workflow/transitions`,
  body: { name, from_state_id: from, to_state_id: to },
})

export const createCategory = (board: Id, name: string, hue: number): Command => ({ method: 'POST', path: path`/v1/boards/${board}/categories`, body: { name, hue } })
export const changeCategory = (category: Id, changes: { name?: string; hue?: number }): Command => ({ method: 'PATCH', path: path`/v1/categories/${category}`, body: changes })
export const deleteCategory = (category: Id): Command => ({ method: 'DELETE', path: path`/v1/categories/${category}` })

export const putRule = (id: string, rule: Partial<Omit<AlertRule, 'id' | 'user_id' | 'version'>>): Command => ({ method: 'PUT', path: path`/v1/alert-rules/${id}`, body: rule })
export const deleteRule = (id: string): Command => ({ method: 'DELETE', path: path`/v1/alert-rules/${id}` })

export const readNotification = (id: Id): Command => ({ method: 'POST', path: path`/v1/notifications/${id}/read` })
export const readAllNotifications = (): Command => ({ method: 'POST', path: '/v1/notifications/read' })
export const deleteNotification = (id: Id): Command => ({ method: 'DELETE', path: path`/v1/notifications/${id}` })

export const changeMe = (changes: { name?: string; hue?: number }): Command => ({ method: 'PATCH', path: '/v1/me', body: changes })
export const changeContact = (changes: { email?: string | null; phone?: string | null }): Command => ({ method: 'PATCH', path: '/v1/me/contact', body: changes })
export const shareContact = (board: Id, shared: boolean): Command => ({ method: 'PUT', path: path`/v1/boards/${board}/contact`, body: { shared } })
export const putPreferences = (preferences: Preferences): Command => ({ method: 'PUT', path: '/v1/me/preferences', body: { preferences } })
