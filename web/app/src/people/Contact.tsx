import { useRows, useStatus } from '@tidegate/client/react'
import { useEffect, useRef, useState } from 'react'
import { changeContact, shareContact } from '../api/commands'
import { path } from '../api/http'
import { Problem } from '../api/problem'
import type { Member } from '../api/tables'
import { useBoards, useCommand, useWorkspace } from '../api/workspace'

interface Reach {
  email: string | null
  phone: string | null
}

/** How one can be reached, and whose admins may see it. */
export function Contact({ user }: { user: string }) {
  const { api, tide } = useWorkspace()
  const command = useCommand()
  const boards = useBoards().rows
  const { rows: memberships } = useRows(tide.rows<Member>('public.board_members', { where: 'user_id = $1', params: [user] }))
  const isLive = useStatus(tide).state === 'live'
  const [kept, setKept] = useState<Reach | null>(null)
  const [draft, setDraft] = useState<Reach | null>(null)

  const isKnown = useRef(false)
  isKnown.current = kept !== null

  useEffect(() => {
    if (isKnown.current) return
    const ending = new AbortController()
    api.read<Reach>(path`/v1/users/${user}/contact`, ending.signal).then(setKept, (error: unknown) => {
      if (error instanceof Problem && error.code === 'not_found') setKept({ email: null, phone: null })
    })
    return () => ending.abort()
    // Asked again when the line is back, for as long as nobody has answered.
  }, [api, user, isLive])

  // A server without keys keeps no contacts.
  if (!kept) return null
  const { email, phone } = draft ?? kept
  const save = async () => {
    if (!draft) return
    const reply = await command<Reach>(changeContact({ email: draft.email || null, phone: draft.phone || null }), { done: 'Saved' })
    if (reply) {
      setKept(reply.row)
      setDraft(null)
    }
  }
  return (
    <section className="me-section panel" aria-labelledby="contact">
      <h2 id="contact">Contact</h2>
      <form
        className="contact-form"
        onSubmit={(event) => {
          event.preventDefault()
          void save()
        }}
      >
        <label className="field">
          <span>E-mail</span>
          <input className="input" type="email" autoComplete="email" value={email ?? ''} onChange={({ target }) => setDraft({ email: target.value, phone })} />
        </label>
        <label className="field">
          <span>Telephone</span>
          <input className="input" type="tel" autoComplete="tel" value={phone ?? ''} onChange={({ target }) => setDraft({ email, phone: target.value })} />
        </label>
        {draft && (
          <button type="submit" className="button" data-kind="loud">
            Save
          </button>
        )}
      </form>
      {[...memberships.values()].map(({ board_id, shares_contact }) => (
        <label key={board_id} className="switch">
          <span>Admins of {boards.get(board_id)?.name ?? 'a board'} see it</span>
          <input type="checkbox" role="switch" checked={shares_contact} onChange={({ target }) => void command(shareContact(board_id, target.checked))} />
        </label>
      ))}
    </section>
  )
}
