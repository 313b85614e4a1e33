import type { Activity } from '../api/tables'
import { dueName } from '../design/texts'

/** What happened, in the words of people. The doer stands before it. */

export type Part =
  | { kind: 'text'; text: string }
  | { kind: 'strong'; text: string }
  /** A card, by its title. */
  | { kind: 'card'; text: string; entry: string | null }
  | { kind: 'quote'; text: string }

export interface Names {
  person: (id: string) => string
  category: (id: string) => string
}

const PRIORITIES = ['low', 'normal', 'urgent']

const text = (words: string): Part => ({ kind: 'text', text: words })
const strong = (words: string): Part => ({ kind: 'strong', text: words })

export function sentence(activity: Activity, names: Names): Part[] {
  switch (activity.subject) {
    case 'entry':
      return ofEntry(activity, names)
    case 'comment':
      return ofComment(activity)
    case 'member':
      return ofMember(activity, names)
    case 'category':
      return named(activity, 'the category')
    case 'workflow':
      return ofWorkflow(activity)
    case 'board':
      return named(activity, 'the board')
  }
}

/** The same as one text, for those who do not see it. */
export function plain(parts: readonly Part[]): string {
  return parts.map(({ kind, text }) => (kind === 'quote' ? ` “${text}”` : text)).join('')
}

function ofEntry({ action, detail, entry_id, actor_id }: Activity, names: Names): Part[] {
  const card: Part = { kind: 'card', text: word(detail['title']) || 'a card', entry: action === 'deleted' || action === 'archived' ? null : entry_id }
  const [from, to] = [word(detail['from']), word(detail['to'])]
  switch (action) {
    case 'created':
      return [text('added '), card]
    case 'moved':
      if (from && to) return [text('moved '), card, text(' from '), strong(from), text(' to '), strong(to)]
      return detail['top'] ? [text('moved '), card, text(' to the top of '), strong(to)] : [text('moved '), card, text(' to another place')]
    case 'closed':
      return from && to ? [text('moved '), card, text(' from '), strong(from), text(' to '), strong(to)] : [text('finished '), card]
    case 'reopened':
      return to ? [text('took '), card, text(' back to '), strong(to)] : [text('reopened '), card]
    case 'assigned':
      return assigned(card, word(detail['assignee_id']), actor_id, names)
    case 'edited':
      return edited(card, detail, names)
    case 'archived':
      return [text('archived '), card]
    case 'deleted':
      return [text('deleted '), card]
    default:
      return [text(`${action.replaceAll('_', ' ')} `), card]
  }
}

function assigned(card: Part, to: string, by: string | null, { person }: Names): Part[] {
  if (!to) return [text('took everybody off '), card]
  if (to === by) return [text('took '), card]
  return [text('gave '), card, text(' to '), strong(person(to))]
}

function edited(card: Part, detail: Record<string, unknown>, names: Names): Part[] {
  const changed = isRecord(detail['changed']) ? detail['changed'] : detail['priority'] !== undefined ? { priority: { to: detail['priority'] } } : {}
  const fields = Object.entries(changed)
  const [first] = fields
  if (fields.length !== 1 || !first) return [text('changed '), ...list(fields.map(([field]) => fieldName(field))), text(fields.length > 0 ? ' of ' : ''), card]
  const [field, change] = first
  const to = isRecord(change) ? change['to'] : undefined
  switch (field) {
    case 'title':
      return [text('renamed '), strong(isRecord(change) ? word(change['from']) : ''), text(' to '), card]
    case 'body':
      return [text('described '), card]
    case 'priority':
      return [text('made '), card, text(' '), strong(PRIORITIES[Number(to)] ?? 'normal')]
    case 'labels':
      return labelled(card, array(to))
    case 'category_id':
      return to ? [text('put '), card, text(' in '), strong(names.category(word(to)))] : [text('took '), card, text(' out of its category')]
    case 'due_at':
      return to ? [text('set '), card, text(' due '), strong(date(word(to)))] : [text('took the due date off '), card]
    default:
      return [text('changed '), card]
  }
}

function labelled(card: Part, labels: readonly string[]): Part[] {
  return labels.length === 0 ? [text('took the labels off '), card] : [text('labelled '), card, text(' '), strong(labels.join(', '))]
}

function ofComment({ action, detail, entry_id }: Activity): Part[] {
  const card: Part = { kind: 'card', text: word(detail['title']) || 'a card', entry: entry_id }
  const said = word(detail['text'])
  if (action === 'deleted') return [text('took back a comment on '), card]
  const verb = action === 'edited' ? 'rewrote a comment on ' : 'commented on '
  return said ? [text(verb), card, { kind: 'quote', text: said }] : [text(verb), card]
}

function ofMember({ action, detail, actor_id }: Activity, { person }: Names): Part[] {
  const who = word(detail['user_id'])
  const role = word(detail['role'])
  if (action === 'removed') return who === actor_id ? [text('left the board')] : [text('took '), strong(person(who)), text(' off the board')]
  if (action === 'added') return [text('added '), strong(person(who)), text(role ? ` as ${role}` : '')]
  return [text('made '), strong(person(who)), text(` ${article(role)} ${role}`)]
}

function ofWorkflow({ action, detail }: Activity): Part[] {
  const name = strong(word(detail['name']))
  const [what, verb = ''] = action.split('_')
  const done: Record<string, string> = { created: 'added', deleted: 'removed', edited: 'changed', updated: 'changed' }
  return [text(`${done[verb] ?? verb} the ${what === 'transition' ? 'way' : 'column'} `), name]
}

function named({ action, detail }: Activity, what: string): Part[] {
  const verbs: Record<string, string> = { created: what === 'the board' ? 'founded' : 'added', edited: 'changed', deleted: 'removed' }
  return [text(`${verbs[action] ?? action} ${what} `), strong(word(detail['name']))]
}

function fieldName(field: string): string {
  const names: Record<string, string> = { title: 'the title', body: 'the description', priority: 'the priority', labels: 'the labels', category_id: 'the category', due_at: 'the due date' }
  return names[field] ?? field
}

function list(words: readonly string[]): Part[] {
  return words.length === 0 ? [] : [text(new Intl.ListFormat('en', { type: 'conjunction' }).format(words))]
}

/** Arrays are told as PostgreSQL writes them: `{bug,"two words"}`. */
function array(value: unknown): string[] {
  if (Array.isArray(value)) return value.map(word)
  const inner = word(value).replace(/^\{|\}$/g, '')
  return [...inner.matchAll(/"((?:[^"\\]|\\.)*)"|([^,]+)/g)].map(([, quoted, bare]) => quoted?.replace(/\\(.)/g, '$1') ?? bare ?? '')
}

/** `2026-11-26 15:00:00+00` is how PostgreSQL writes moments. */
function date(moment: string): string {
  const at = moment.replace(' ', 'T').replace(/([+-]\d\d)$/, '$1:00')
  return Number.isNaN(Date.parse(at)) ? moment : dueName(at)
}

const article = (word: string) => (/^[aeiou]/.test(word) ? 'an' : 'a')
const word = (value: unknown): string => (typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '')
const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)
