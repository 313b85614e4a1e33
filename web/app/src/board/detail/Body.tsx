import { useState } from 'react'

interface Props {
  body: string
  mayEdit: boolean
  onSave: (body: string) => Promise<boolean>
}

/** What there is to say about a card. */
export function Body({ body, mayEdit, onSave }: Props) {
  const [draft, setDraft] = useState<string | null>(null)
  const [busy, setBusy] = useState(false)

  if (draft === null) {
    if (!mayEdit) return body ? <p className="detail-body">{body}</p> : null
    return (
      <button type="button" className="detail-body detail-body-button" onClick={() => setDraft(body)}>
        <span className="unseen">Edit description: </span>
        {body || <span className="faint">Add a description</span>}
      </button>
    )
  }

  const save = async () => {
    setBusy(true)
    const done = draft === body || (await onSave(draft))
    setBusy(false)
    // What was refused stays in the field: nobody types it again.
    if (done) setDraft(null)
  }

  return (
    <form
      className="detail-body-form"
      onSubmit={(event) => {
        event.preventDefault()
        void save()
      }}
    >
      <textarea
        className="input"
        aria-label="Description"
        autoFocus
        rows={6}
        value={draft}
        onChange={({ target }) => setDraft(target.value)}
        onKeyDown={(event) => {
          if (event.key === 'Enter' && (event.metaKey || event.ctrlKey)) void save()
          if (event.key === 'Escape') {
            event.preventDefault()
            event.stopPropagation()
            setDraft(null)
          }
        }}
      />
      <div className="composer-foot">
        <button type="submit" className="button" data-kind="loud" disabled={busy}>
          Save
        </button>
        <button type="button" className="button" data-kind="quiet" onClick={() => setDraft(null)}>
          Cancel
        </button>
      </div>
    </form>
  )
}
