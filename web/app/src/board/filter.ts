import type { Id, UserId } from '../api/tables'
import type { Card } from './columns'

export interface Filter {
  text: string
  assignees: ReadonlySet<UserId | ''>
  categories: ReadonlySet<Id>
  labels: ReadonlySet<string>
  /** Cards whose body has the words: found by the server, since boards hold no bodies. */
  found: ReadonlySet<Id> | null
}

export const EVERYTHING: Filter = { text: '', assignees: new Set(), categories: new Set(), labels: new Set(), found: null }

export function isEverything({ text, assignees, categories, labels }: Filter): boolean {
  return !text.trim() && assignees.size === 0 && categories.size === 0 && labels.size === 0
}

export function chosen(cards: readonly Card[], filter: Filter): readonly Card[] {
  if (isEverything(filter)) return cards
  const words = filter.text.trim().toLowerCase()
  return cards.filter((card) => matches(card, filter, words))
}

function matches(card: Card, { assignees, categories, labels, found }: Filter, words: string): boolean {
  if (assignees.size > 0 && !assignees.has(card.assignee_id ?? '')) return false
  if (categories.size > 0 && !categories.has(card.category_id ?? '')) return false
  if (labels.size > 0 && !card.labels.some((label) => labels.has(label))) return false
  if (!words) return true
  return card.title.toLowerCase().includes(words) || card.labels.some((label) => label.toLowerCase().includes(words)) || (found?.has(card.id) ?? false)
}

/** Other words: what was found by the last ones holds as long as they say the same. */
export function worded(filter: Filter, text: string): Filter {
  return { ...filter, text, found: text.trim() === filter.text.trim() ? filter.found : null }
}

export function toggled<T>(set: ReadonlySet<T>, item: T): ReadonlySet<T> {
  const next = new Set(set)
  if (!next.delete(item)) next.add(item)
  return next
}
