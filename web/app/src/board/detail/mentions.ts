import type { User } from '../../api/tables'

/** An `@` that is being written, and what stands behind it so far. */
export interface Mention {
  start: number
  end: number
  word: string
}

export function mentionAt(text: string, caret: number): Mention | null {
  const before = /(^|[^\p{L}\p{N}_])@([^\s@]{0,40})$/u.exec(text.slice(0, caret))
  const word = before?.[2]
  if (word === undefined) return null
  return { start: caret - word.length - 1, end: caret, word }
}

export function withMention(text: string, { start, end }: Mention, id: string): { text: string; caret: number } {
  const head = `${text.slice(0, start)}@${id} `
  return { text: head + text.slice(end).replace(/^ /, ''), caret: head.length }
}

const MOST = 6

export function suggestions(people: readonly User[], word: string): User[] {
  const wanted = word.toLowerCase()
  const fits = ({ id, name }: User) => id.toLowerCase().startsWith(wanted) || name.toLowerCase().split(/\s+/).some((part) => part.startsWith(wanted))
  return people.filter(fits).slice(0, MOST)
}

type Piece = { kind: 'text'; text: string } | { kind: 'person'; user: User }

/** A comment with the people it names: who is told is found by the server in the same way. */
export function pieces(text: string, people: readonly User[]): Piece[] {
  const known = new Map(people.map((user) => [user.id.toLowerCase(), user]))
  const found: Piece[] = []
  let at = 0
  for (const match of text.matchAll(/(^|[^\p{L}\p{N}_])@([^\s]{1,255})/gu)) {
    const [, lead = '', word = ''] = match
    const bare = word.replace(/[.,;:!?)\]}'"]+$/, '')
    const user = known.get(word.toLowerCase()) ?? known.get(bare.toLowerCase())
    if (!user) continue
    const start = match.index + lead.length
    if (start > at) found.push({ kind: 'text', text: text.slice(at, start) })
    found.push({ kind: 'person', user })
    at = start + 1 + (known.has(word.toLowerCase()) ? word : bare).length
  }
  if (at < text.length) found.push({ kind: 'text', text: text.slice(at) })
  return found
}
