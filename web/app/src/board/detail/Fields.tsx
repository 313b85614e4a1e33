import { type KeyboardEvent, type ReactNode, useState } from 'react'
import type { FieldChanges } from '../../api/commands'
import type { Id } from '../../api/tables'
import { useMembers, usePeople } from '../../api/workspace'
import { Avatar } from '../../design/Avatar'
import { Icon } from '../../design/icons'
import { ago, PRIORITIES } from '../../design/texts'
import type { Card } from '../columns'
import { useCategories } from '../useBoard'
import { DueField } from './DueField'
import type { LabelChange } from './labels'

interface Props {
  board: Id
  card: Card
  mayEdit: boolean
  onEdit: (changes: FieldChanges) => void
  onLabel: (change: LabelChange) => void
}

/** What a card is marked with. Each change is made as it is chosen. */
export function Fields({ board, card, mayEdit, onEdit, onLabel }: Props) {
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
        <DueField at={card.due_at} closed={card.closed_at !== null} mayEdit={mayEdit} onDue={(due_at) => onEdit({ due_at })} />
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
        <Labels labels={card.labels} mayEdit={mayEdit} onLabel={onLabel} />
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

function Labels({ labels, mayEdit, onLabel }: { labels: readonly string[]; mayEdit: boolean; onLabel: (change: LabelChange) => void }) {
  const [text, setText] = useState('')
  const last = labels.at(-1)
  const add = () => {
    const word = text.trim()
    if (word && !labels.includes(word)) onLabel({ add: word })
    setText('')
  }
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Enter' || event.key === ',') {
      event.preventDefault()
      add()
    } else if (event.key === 'Backspace' && !text && last !== undefined) onLabel({ remove: last })
  }
  return (
    <div className="labels">
      {labels.map((label) => (
        <span key={label} className="tag">
          {label}
          {mayEdit && (
            <button type="button" aria-label={`Remove label ${label}`} onClick={() => onLabel({ remove: label })}>
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
