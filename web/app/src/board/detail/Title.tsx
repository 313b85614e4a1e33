import { useEffect, useRef } from 'react'
import { Meanwhile } from './Meanwhile'
import { useDraft } from './useDraft'

interface Props {
  title: string
  mayEdit: boolean
  onSave: (title: string, base: string) => Promise<boolean>
}

/** The title, changed where it stands. */
export function Title({ title, mayEdit, onSave }: Props) {
  const draft = useDraft(title, async (text, base) => !text.trim() || text.trim() === base || (await onSave(text.trim(), base)))
  const field = useRef<HTMLTextAreaElement>(null)
  const escaped = useRef(false)

  useEffect(() => {
    const element = field.current
    if (!element) return
    element.style.height = 'auto'
    element.style.height = `${element.scrollHeight}px`
  }, [draft.text, title])

  if (!mayEdit) return <p className="detail-title">{title}</p>

  const leave = () => {
    const leaves = escaped.current
    escaped.current = false
    if (leaves) draft.leave()
    else if (draft.text !== null) void draft.save()
  }

  return (
    <>
      <textarea
        ref={field}
        className="detail-title detail-title-field"
        aria-label="Title"
        rows={1}
        maxLength={500}
        value={draft.text ?? title}
        onChange={({ target }) => draft.write(target.value.replaceAll('\n', ' '))}
        onBlur={leave}
        onKeyDown={(event) => {
          if (event.key === 'Enter') {
            event.preventDefault()
            event.currentTarget.blur()
          } else if (event.key === 'Escape' && draft.text !== null) {
            event.preventDefault()
            event.stopPropagation()
            escaped.current = true
            event.currentTarget.blur()
          }
        }}
      />
      {draft.theirs !== null && <Meanwhile text={draft.theirs} onMine={() => void draft.insist()} onTheirs={draft.leave} />}
    </>
  )
}
