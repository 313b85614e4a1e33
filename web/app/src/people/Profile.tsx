import { useState } from 'react'
import { changeMe } from '../api/commands'
import type { User } from '../api/tables'
import { useCommand } from '../api/workspace'
import { Avatar } from '../design/Avatar'

const HUES = [12, 45, 95, 150, 180, 205, 240, 265, 290, 330]

/** How one is shown to others. */
export function Profile({ user }: { user: User }) {
  const command = useCommand()
  const [name, setName] = useState<string | null>(null)
  const save = async () => {
    const words = name?.trim()
    if (!words || words === user.name || (await command(changeMe({ name: words }), { done: 'Saved' }))) setName(null)
  }
  return (
    <section className="me-section panel" aria-labelledby="profile">
      <h2 id="profile">Profile</h2>
      <form
        className="me-row"
        onSubmit={(event) => {
          event.preventDefault()
          void save()
        }}
      >
        <label className="field">
          <span>Name</span>
          <input className="input" maxLength={200} required autoComplete="name" value={name ?? user.name} onChange={({ target }) => setName(target.value)} />
        </label>
        {name !== null && name.trim() !== user.name && (
          <button type="submit" className="button" data-kind="loud">
            Save
          </button>
        )}
      </form>
      <fieldset className="field">
        <legend>Colour</legend>
        <div className="hues">
          {[...new Set([...HUES, user.hue])]
            .sort((a, b) => a - b)
            .map((hue) => (
              <button key={hue} type="button" className="hue" aria-label={`Colour ${hue}`} aria-pressed={hue === user.hue} onClick={() => void command(changeMe({ hue }))}>
                <Avatar user={{ ...user, hue }} size={32} silent />
              </button>
            ))}
        </div>
      </fieldset>
    </section>
  )
}
