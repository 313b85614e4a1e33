import { useState } from 'react'
import { Meanwhile } from './Meanwhile'
import { useDraft } from './useDraft'

interface Props {
  body: string
  mayEdit: boolean
  onSave: (body: string, base: string) => Promise<boolean>
}

/** What there is to say about a card. */
export function Body({ body, mayEdit, onSave }: Props) {
  const draft = useDraft(body, onSave)
  const [busy, setBusy] = useState(false)

  if (draft.text === null) {
    if (!mayEdit) return body ? <p className="detail-body">{body}</p> : null
    return (
      <button type="button" className="detail-body detail-body-button" onClick={draft.begin}>
        <span className="unseen">Edit description: </span>
        {body || <span className="faint">Add a description</span>}
      </button>
    )
  }

  const save = async (saving: () => Promise<void>) => {
    if (busy) return
    setBusy(true)
    await saving()
    setBusy(false)
  }

  return (
    <form
      className="detail-body-form"
      data-draft={(draft.text !== body && !busy) || undefined}
      onSubmit={(event) => {
        event.preventDefault()
        void save(draft.save)
      }}
    >
      <textarea
        className="input"
        aria-label="Description"
        autoFocus
        rows={6}
        value={draft.text}
        onChange={({ target }) => draft.write(target.value)}
        onKeyDown={(event) => {
          if (event.key === 'Enter' && (event.metaKey || event.ctrlKey)) void save(draft.save)
          if (event.key === 'Escape') {
            event.preventDefault()
            event.stopPropagation()
            draft.leave()
          }
        }}
      />
      {draft.theirs === null ? (
        <div className="composer-foot">
          <button type="submit" className="button" data-kind="loud" disabled={busy}>
            Save
          </button>
          <button type="button" className="button" data-kind="quiet" onClick={draft.leave}>
            Cancel
          </button>
        </div>
      ) : (
        <Meanwhile text={draft.theirs} onMine={() => void save(draft.insist)} onTheirs={draft.leave} />
      )}
    </form>
  )
}
