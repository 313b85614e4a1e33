import { type ChangeEvent, type KeyboardEvent, useRef, useState } from 'react'

interface Field {
  value: string
  onChange: (event: ChangeEvent<HTMLInputElement>) => void
  onBlur: () => void
  onKeyDown: (event: KeyboardEvent<HTMLInputElement>) => void
}

/** A field that is saved when one leaves it; whatever others make of the row meanwhile, it keeps its focus and what one types. */
export function useField(kept: string, save: (value: string) => Promise<unknown>, { mayBeEmpty = false } = {}): Field {
  const [draft, setDraft] = useState<string | null>(null)
  const sending = useRef<string | null>(null)

  const leave = async () => {
    if (draft === null || draft === sending.current) return
    const value = draft.trim()
    if (value !== kept && (value || mayBeEmpty)) {
      sending.current = draft
      const done = await save(value)
      sending.current = null
      // What was refused stays in the field, and so does what was typed meanwhile.
      if (!done) return
    }
    setDraft((now) => (now === draft ? null : now))
  }

  return {
    value: draft ?? kept,
    onChange: ({ target }) => setDraft(target.value),
    onBlur: () => void leave(),
    onKeyDown: (event) => {
      if (event.key === 'Enter') event.currentTarget.blur()
    },
  }
}
