import { type KeyboardEvent, useId, useRef, useState } from 'react'
import type { User } from '../../api/tables'
import { Avatar } from '../../design/Avatar'
import { mentionAt, type Mention, suggestions, withMention } from './mentions'

interface Props {
  label: string
  placeholder?: string
  value: string
  onChange: (text: string) => void
  onSubmit: () => void
  onCancel?: () => void
  people: readonly User[]
  autoFocus?: boolean
}

/** A field that completes names after an `@`. */
export function MentionField({ label, placeholder, value, onChange, onSubmit, onCancel, people, autoFocus = false }: Props) {
  const field = useRef<HTMLTextAreaElement>(null)
  const [mention, setMention] = useState<Mention | null>(null)
  const [at, setAt] = useState(0)
  const list = useId()
  const found = mention ? suggestions(people, mention.word) : []
  const isOpen = found.length > 0

  const look = () => {
    const element = field.current
    setMention(element ? mentionAt(element.value, element.selectionStart) : null)
    setAt(0)
  }

  const take = (user: User) => {
    if (!mention) return
    const { text, caret } = withMention(value, mention, user.id)
    onChange(text)
    setMention(null)
    requestAnimationFrame(() => {
      field.current?.focus()
      field.current?.setSelectionRange(caret, caret)
    })
  }

  const onKeyDown = (event: KeyboardEvent) => {
    const chosen = found[at]
    if (event.key === 'Enter' && (event.metaKey || event.ctrlKey)) {
      event.preventDefault()
      setMention(null)
      onSubmit()
    } else if (isOpen && (event.key === 'ArrowDown' || event.key === 'ArrowUp')) {
      event.preventDefault()
      setAt((at + (event.key === 'ArrowDown' ? 1 : found.length - 1)) % found.length)
    } else if (isOpen && chosen && (event.key === 'Enter' || event.key === 'Tab')) {
      event.preventDefault()
      take(chosen)
    } else if (event.key === 'Escape' && (isOpen || onCancel)) {
      event.preventDefault()
      event.stopPropagation()
      if (isOpen) setMention(null)
      else onCancel?.()
    }
  }

  return (
    <div className="mention">
      <textarea
        ref={field}
        className="input"
        rows={2}
        maxLength={10_000}
        aria-label={label}
        placeholder={placeholder}
        autoFocus={autoFocus}
        aria-haspopup="listbox"
        aria-controls={list}
        aria-autocomplete="list"
        aria-activedescendant={isOpen ? `${list}-${at}` : undefined}
        value={value}
        onChange={({ target }) => {
          onChange(target.value)
          look()
        }}
        onSelect={look}
        onBlur={() => setMention(null)}
        onKeyDown={onKeyDown}
      />
      <ul id={list} role="listbox" aria-label="People" className="menu-panel mention-list" hidden={!isOpen}>
        {found.map((user, index) => (
          <li
            key={user.id}
            id={`${list}-${index}`}
            role="option"
            aria-selected={index === at}
            className="menu-item"
            onPointerDown={(event) => {
              event.preventDefault()
              take(user)
            }}
          >
            <Avatar user={user} size={22} silent />
            {user.name}
            <span className="faint">@{user.id}</span>
          </li>
        ))}
      </ul>
    </div>
  )
}
