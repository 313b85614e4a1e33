import { type KeyboardEvent, type ReactNode, useState } from 'react'
import type { EntryChanges } from '../../api/commands'
import type { Id } from '../../api/tables'
import { useMembers, usePeople } from '../../api/workspace'
import { Avatar } from '../../design/Avatar'
import { Icon } from '../../design/icons'
import { ago, due, PRIORITIES } from '../../design/texts'
import type { Card } from '../columns'
import { useCategories } from '../useBoard'

interface Props {
  board: Id
  card: Card
  mayEdit: boolean
  onEdit: (changes: EntryChanges) => void
}

/** What a card is marked with. Each change is made as it is chosen. */
export function Fields({ board, card, mayEdit, onEdit }: Props) {
  const people = usePeople()
  const members = useMembers(board).rows
  const categories = [...useCategories(board).values()].sort((a, b) => a.name.localeCompare(b.name))
  const able = [...members.values()].map(({ user_id }) => people.get(user_id)).filter((user) => user !== undefined)
  const assignee = card.assignee_id ? people.get(card.assignee_id) : undefined
  // Whoever answers for it may have been given it by the server itself, and be no member.
  const choices = assignee && !able.some(({ id }) => id === assignee.id) ? [...able, assignee] : able
  const creator = card.created_by ? people.get(card.created_by) : undefined
  return (
    <div className="fields">
      <Row name="Assignee">
        <Avatar user={assignee} size={24} silent />
        <select className="input plain" aria-label="Assignee" disabled={!mayEdit} value={card.assignee_id ?? ''} onChange={({ target }) => onEdit({ assignee_id: target.value || null })}>
          <option value="">Nobody</option>
          {choices.map(({ id, name }) => (
            <option key={id} value={id}>
              {name}
            </option>
          ))}
        </select>
      </Row>
      <Row name="Priority">
        <div className="segments" role="radiogroup" aria-label="Priority">
          {PRIORITIES.map((name, level) => (
            <label key={name} data-level={level}>
              <input type="radio" name="priority" disabled={!mayEdit} checked={card.priority === level} onChange={() => onEdit({ priority: level })} />
              <span>{name}</span>
            </label>
          ))}
        </div>
      </Row>
      <Row name="Due">
        <input
          type="date"
          className="input plain"
          aria-label="Due date"
          disabled={!mayEdit}
          data-tone={card.due_at ? due(card.due_at, card.closed_at !== null).tone : undefined}
          value={card.due_at ? localDate(card.due_at) : ''}
          onChange={({ target }) => onEdit({ due_at: target.value ? endOfDay(target.value) : null })}
        />
      </Row>
      {(categories.length > 0 || card.category_id) && (
        <Row name="Category">
          <select className="input plain" aria-label="Category" disabled={!mayEdit} value={card.category_id ?? ''} onChange={({ target }) => onEdit({ category_id: target.value || null })}>
            <option value="">None</option>
            {categories.map(({ id, name }) => (
              <option key={id} value={id}>
                {name}
              </option>
            ))}
          </select>
        </Row>
      )}
      <Row name="Labels">
        <Labels labels={card.labels} mayEdit={mayEdit} onEdit={(labels) => onEdit({ labels })} />
      </Row>
      <p className="fields-made faint">
        {creator ? `${creator.name}, ` : ''}
        {ago(card.created_at)}
      </p>
    </div>
  )
}

function Row({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="fields-row">
      <span className="fields-name" aria-hidden="true">
        {name}
      </span>
      <div className="fields-value">{children}</div>
    </div>
  )
}

function Labels({ labels, mayEdit, onEdit }: { labels: readonly string[]; mayEdit: boolean; onEdit: (labels: string[]) => void }) {
  const [text, setText] = useState('')
  const add = () => {
    const word = text.trim()
    if (word && !labels.includes(word)) onEdit([...labels, word])
    setText('')
  }
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Enter' || event.key === ',') {
      event.preventDefault()
      add()
    } else if (event.key === 'Backspace' && !text && labels.length > 0) onEdit(labels.slice(0, -1))
  }
  return (
    <div className="labels">
      {labels.map((label) => (
        <span key={label} className="tag">
          {label}
          {mayEdit && (
            <button type="button" aria-label={`Remove label ${label}`} onClick={() => onEdit(labels.filter((other) => other !== label))}>
              <Icon name="close" size={11} />
            </button>
          )}
        </span>
      ))}
      {mayEdit && <input className="labels-field" aria-label="Add label" placeholder={labels.length === 0 ? 'Add label' : '+'} maxLength={60} value={text} onChange={({ target }) => setText(target.value)} onKeyDown={onKeyDown} onBlur={add} />}
      {!mayEdit && labels.length === 0 && <span className="faint">None</span>}
    </div>
  )
}

function localDate(at: string): string {
  const date = new Date(at)
  return `${date.getFullYear()}-${String(date.getMonth() + 1).padStart(2, '0')}-${String(date.getDate()).padStart(2, '0')}`
}

/** Due on a day is due when that day is over. */
function endOfDay(day: string): string {
  return new Date(`${day}T23:59:00`).toISOString()
}
