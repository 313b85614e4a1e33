import { useEffect, useMemo, useRef } from 'react'
import type { Page } from '../api/http'
import type { Category, Id, User } from '../api/tables'
import { useWorkspace } from '../api/workspace'
import { Avatar } from '../design/Avatar'
import { Icon } from '../design/icons'
import { Menu } from '../design/Menu'
import type { BoardStore } from './store'
import { EVERYTHING, type Filter, isEverything, toggled, worded } from './filter'

interface Props {
  board: Id
  store: BoardStore
  filter: Filter
  onFilter: (filter: Filter) => void
  people: readonly User[]
  categories: ReadonlyMap<string, Category>
}

const TYPING_MS = 250

/** Narrows the board down. */
export function FilterBar({ board, store, filter, onFilter, people, categories }: Props) {
  const { api } = useWorkspace()
  const field = useRef<HTMLInputElement>(null)
  const latest = useRef(filter)
  latest.current = filter
  const words = filter.text.trim()

  // Words in bodies are looked for by the server; titles are here already.
  useEffect(() => {
    if (words.length < 3) return
    const ending = new AbortController()
    const timer = setTimeout(() => {
      const query = new URLSearchParams({ q: words, limit: '500' })
      api.read<Page<{ id: Id }>>(`/v1/boards/${board}/entries?${query}`, ending.signal).then(
        ({ rows }) => onFilter({ ...latest.current, found: new Set(rows.map(({ id }) => id)) }),
        () => undefined,
      )
    }, TYPING_MS)
    return () => {
      clearTimeout(timer)
      ending.abort()
    }
  }, [api, board, words, onFilter])

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== '/' || event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement) return
      event.preventDefault()
      field.current?.focus()
    }
    document.addEventListener('keydown', onKey)
    return () => document.removeEventListener('keydown', onKey)
  }, [])

  const chosen = filter.categories.size + filter.labels.size
  return (
    <div className="filter" role="search" aria-label="Cards">
      <label className="filter-search">
        <Icon name="search" size={16} />
        <input ref={field} type="search" className="input" placeholder="Search" aria-label="Search cards" value={filter.text} onChange={({ target }) => onFilter(worded(filter, target.value))} />
      </label>
      <div className="filter-people" role="group" aria-label="Show cards of">
        {people.map((user) => (
          <button
            key={user.id}
            type="button"
            className="filter-person"
            aria-pressed={filter.assignees.has(user.id)}
            aria-label={user.name}
            title={user.name}
            onClick={() => onFilter({ ...filter, assignees: toggled(filter.assignees, user.id) })}
          >
            <Avatar user={user} size={28} silent />
          </button>
        ))}
      </div>
      <Menu
        kind="quiet"
        role="dialog"
        align="end"
        panel="Filter"
        label={
          <>
            <Icon name="filter" size={16} />
            <span className="filter-word">Filter</span>
            {chosen > 0 && <span className="badge">{chosen}</span>}
          </>
        }
      >
        {() => <Choices {...{ store, filter, onFilter, categories }} />}
      </Menu>
      {!isEverything(filter) && (
        <button type="button" className="button" data-kind="quiet" onClick={() => onFilter(EVERYTHING)}>
          Clear
        </button>
      )}
    </div>
  )
}

function Choices({ store, filter, onFilter, categories }: Pick<Props, 'store' | 'filter' | 'onFilter' | 'categories'>) {
  const labels = useMemo(() => {
    const found = new Set(filter.labels)
    for (const card of store.columns.all()) for (const label of card.labels) found.add(label)
    return [...found].sort()
  }, [store, filter.labels])
  const named = [...categories.values()].sort((a, b) => a.name.localeCompare(b.name))
  return (
    <div className="choices">
      {named.length > 0 && (
        <fieldset>
          <legend className="menu-title">Category</legend>
          <div className="choices-tags">
            {named.map(({ id, name, hue }) => (
              <button key={id} type="button" className="tag choice" data-hue="" style={{ '--hue': hue }} aria-pressed={filter.categories.has(id)} onClick={() => onFilter({ ...filter, categories: toggled(filter.categories, id) })}>
                {name}
              </button>
            ))}
          </div>
        </fieldset>
      )}
      <fieldset>
        <legend className="menu-title">Label</legend>
        <div className="choices-tags">
          {labels.length === 0 && <p className="faint">No labels</p>}
          {labels.map((label) => (
            <button key={label} type="button" className="tag choice" aria-pressed={filter.labels.has(label)} onClick={() => onFilter({ ...filter, labels: toggled(filter.labels, label) })}>
              {label}
            </button>
          ))}
        </div>
      </fieldset>
      <fieldset>
        <legend className="menu-title">Assignee</legend>
        <div className="choices-tags">
          <button type="button" className="tag choice" aria-pressed={filter.assignees.has('')} onClick={() => onFilter({ ...filter, assignees: toggled(filter.assignees, '' as const) })}>
            Nobody
          </button>
        </div>
      </fieldset>
    </div>
  )
}
