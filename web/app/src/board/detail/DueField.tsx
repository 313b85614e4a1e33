import { useState } from 'react'
import { due, dueDay, endOfDay } from '../../design/texts'

interface Props {
  at: string | null
  closed: boolean
  mayEdit: boolean
  onDue: (at: string | null) => void
}

/** Years that are being typed are dates too: 0002, 0020, 0202. */
const FIRST = '1970-01-01'

/** The day that a card is due: taken when it has been typed to its end. */
export function DueField({ at, closed, mayEdit, onDue }: Props) {
  const [draft, setDraft] = useState<string | null>(null)
  const kept = at ? dueDay(at) : ''

  const take = ({ validity }: HTMLInputElement) => {
    setDraft(null)
    // Half a date has no value, and takes none away.
    if (draft === null || draft === kept || validity.badInput || (draft && draft < FIRST)) return
    onDue(draft ? endOfDay(draft) : null)
  }

  return (
    <input
      type="date"
      className="input plain"
      aria-label="Due date"
      disabled={!mayEdit}
      min={FIRST}
      max="9999-12-31"
      data-tone={at ? due(at, closed).tone : undefined}
      value={draft ?? kept}
      onChange={({ target }) => setDraft(target.value)}
      onBlur={({ currentTarget }) => take(currentTarget)}
      onKeyDown={(event) => {
        if (event.key === 'Enter') take(event.currentTarget)
        if (event.key === 'Escape' && draft !== null) {
          event.preventDefault()
          event.stopPropagation()
          setDraft(null)
        }
      }}
    />
  )
}
