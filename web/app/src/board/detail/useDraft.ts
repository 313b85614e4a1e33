import { useState } from 'react'

interface Draft {
  text: string
  /** What stood there when one began, or has been shown since. */
  base: string
}

interface Drafting {
  /** Nothing while nobody writes. */
  text: string | null
  /** What others have written meanwhile, once that has kept a text from being saved. */
  theirs: string | null
  begin: () => void
  write: (text: string) => void
  leave: () => void
  /** Saves, unless what stands there is another text than one began with. */
  save: () => Promise<void>
  /** Saves on top of what others have written. */
  insist: () => Promise<void>
}

/** Words that are being written in the place of `kept`, which may be written by others at the same time. */
export function useDraft(kept: string, onSave: (text: string, base: string) => Promise<boolean>): Drafting {
  const [draft, setDraft] = useState<Draft | null>(null)
  const [stopped, setStopped] = useState(false)

  const leave = () => {
    setDraft(null)
    setStopped(false)
  }

  const saveOn = async (base: string) => {
    if (!draft || draft.text === kept) return leave()
    // Space at the ends is nobody's words.
    if (kept.trim() !== base.trim()) return setStopped(true)
    const { text } = draft
    const rebase = (base: string) => setDraft((now) => now && { ...now, base })
    setStopped(false)
    rebase(text)
    // What was refused stays in the field, and so does what was written since: nobody types it again.
    if (await onSave(text, kept)) setDraft((now) => (now?.text === text ? null : now))
    else {
      rebase(base)
      setStopped(true)
    }
  }

  return {
    text: draft?.text ?? null,
    theirs: stopped && draft && kept.trim() !== draft.base.trim() ? kept : null,
    begin: () => setDraft({ text: kept, base: kept }),
    write: (text) => setDraft((now) => ({ text, base: now?.base ?? kept })),
    leave,
    save: () => saveOn(draft?.base ?? kept),
    insist: () => saveOn(kept),
  }
}
