import { useEffect, useRef, useState } from 'react'

interface Props {
  title: string
  mayEdit: boolean
  onSave: (title: string) => Promise<boolean>
}

/** The title, changed where it stands. */
export function Title({ title, mayEdit, onSave }: Props) {
  const [draft, setDraft] = useState<string | null>(null)
  const field = useRef<HTMLTextAreaElement>(null)
  const escaped = useRef(false)

  useEffect(() => {
    const element = field.current
    if (!element) return
    element.style.height = 'auto'
    element.style.height = `${element.scrollHeight}px`
  }, [draft, title])

  if (!mayEdit) return <p className="detail-title">{title}</p>

  const save = async () => {
    const words = draft?.trim()
    const leaves = escaped.current
    escaped.current = false
    if (leaves || !words || words === title || (await onSave(words))) setDraft(null)
  }

  return (
    <textarea
      ref={field}
      className="detail-title detail-title-field"
      aria-label="Title"
      rows={1}
      maxLength={500}
      value={draft ?? title}
      onChange={({ target }) => setDraft(target.value.replaceAll('\n', ' '))}
      onBlur={() => draft !== null && void save()}
      onKeyDown={(event) => {
        if (event.key === 'Enter') {
          event.preventDefault()
          event.currentTarget.blur()
        } else if (event.key === 'Escape' && draft !== null) {
          event.preventDefault()
          event.stopPropagation()
          escaped.current = true
          event.currentTarget.blur()
        }
      }}
    />
  )
}
