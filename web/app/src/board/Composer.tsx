import { useState } from 'react'
import { createEntry } from '../api/commands'
import type { Id } from '../api/tables'
import { useMaking } from '../api/workspace'

interface Props {
  board: Id
  state: Id
  before: Id | undefined
  onDone: () => void
}

/** A new card, at the top of its column: Enter puts it there and asks for the next one. */
export function Composer({ board, state, before, onDone }: Props) {
  const make = useMaking()
  const [title, setTitle] = useState('')
  const [busy, setBusy] = useState(false)

  const add = async () => {
    const words = title.trim()
    if (!words || busy) return
    setBusy(true)
    const reply = await make(words, () => createEntry(board, { title: words, state_id: state, ...(before && { before }) }))
    setBusy(false)
    // What was refused stays, and so does what was typed meanwhile.
    if (reply) setTitle((now) => (now.trim() === words ? '' : now))
  }

  return (
    <form
      className="composer card"
      data-busy={busy || undefined}
      onSubmit={(event) => {
        event.preventDefault()
        void add()
      }}
    >
      <textarea
        className="composer-title"
        aria-label="Title"
        placeholder="What is to be done?"
        rows={2}
        maxLength={500}
        autoFocus
        value={title}
        onChange={(event) => setTitle(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === 'Escape') onDone()
          if (event.key === 'Enter' && !event.shiftKey) {
            event.preventDefault()
            void add()
          }
        }}
      />
      <div className="composer-foot">
        <button type="submit" className="button" data-kind="loud" disabled={busy || !title.trim()}>
          Add card
        </button>
        <button type="button" className="button" data-kind="quiet" onClick={onDone}>
          Cancel
        </button>
      </div>
    </form>
  )
}
