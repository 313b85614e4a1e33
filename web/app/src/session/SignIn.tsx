import { useState } from 'react'
import team from '../../../provider/people.json'
import { ThemeButton } from '../app/ThemeButton'
import { Avatar } from '../design/Avatar'
import { Icon, Mark } from '../design/icons'
import type { PageSettings } from './page'
import { useSession } from './useSession'
import './sign-in.css'

const HUES: Record<string, number> = { ada: 12, ben: 205, cleo: 330, dov: 95 }

/** Where one says who one is. What happens at the provider is shown before. */
export function SignIn({ page, why }: { page: PageSettings; why?: string | undefined }) {
  const session = useSession()
  const [leaving, setLeaving] = useState(false)
  const [failed, setFailed] = useState(false)
  const isDemo = page.demo !== null || isLoopback(page.login?.issuer)

  const go = async () => {
    setLeaving(true)
    setFailed(false)
    await session.signIn(location.pathname + location.search).catch(() => {
      setLeaving(false)
      setFailed(true)
    })
  }

  return (
    <main className="sign-in">
      <div className="sign-in-tools">
        <ThemeButton />
      </div>
      <div className="sign-in-card panel">
        <Tide />
        <div className="sign-in-body">
          <div className="sign-in-brand">
            <Mark size={36} />
            <h1>Tidegate</h1>
          </div>
          <p className="sign-in-line">Boards that move in every window at once.</p>
          {(why ?? failed) && (
            <p className="banner" role="alert">
              {failed ? 'The sign-in provider cannot be reached.' : why}
            </p>
          )}
          <button type="button" className="button sign-in-go" data-kind="loud" disabled={leaving} onClick={() => void go()}>
            {leaving ? 'One moment …' : 'Sign in'}
            <Icon name="next" size={16} />
          </button>
          {isDemo && (
            <section className="sign-in-team" aria-labelledby="team">
              <h2 id="team">Be any of them, without a password</h2>
              <ul>
                {team.map(({ sub, name, about }) => (
                  <li key={sub}>
                    <Avatar user={{ id: sub, name, hue: HUES[sub] ?? 210 }} size={34} silent />
                    <span>
                      <strong>{name}</strong>
                      <small className="soft">{sees(about)}</small>
                    </span>
                  </li>
                ))}
              </ul>
              <p className="faint">Two windows, two people: each sees what is theirs.</p>
            </section>
          )}
        </div>
      </div>
    </main>
  )
}

const sees = (about: string) => (about.startsWith('none') ? 'Not let in' : about.charAt(0).toUpperCase() + about.slice(1))

function isLoopback(issuer: string | undefined): boolean {
  return issuer !== undefined && /^http:\/\/(127\.|localhost|\[::1\])/.test(issuer)
}

function Tide() {
  return (
    <svg className="tide" viewBox="0 0 480 140" preserveAspectRatio="none" aria-hidden="true">
      <path className="tide-far" d="M0 76c40-22 80-22 120 0s80 22 120 0 80-22 120 0 80 22 120 0 80-22 120 0 80 22 120 0V140H0z" />
      <path className="tide-near" d="M0 100c40-18 80-18 120 0s80 18 120 0 80-18 120 0 80 18 120 0 80-18 120 0 80 18 120 0V140H0z" />
    </svg>
  )
}
