import { Icon } from '../design/icons'
import { type Theme, useTheme } from '../app/theme'
import { useChosenTheme } from './usePreferences'

const THEMES: readonly { theme: Theme; name: string; icon: 'screen' | 'sun' | 'moon' }[] = [
  { theme: 'system', name: 'System', icon: 'screen' },
  { theme: 'light', name: 'Light', icon: 'sun' },
  { theme: 'dark', name: 'Dark', icon: 'moon' },
]

/** Light or dark: the same on every machine that one uses. */
export function Looks() {
  const theme = useTheme()
  const choose = useChosenTheme()
  return (
    <section className="me-section panel" aria-labelledby="looks">
      <h2 id="looks">Appearance</h2>
      <div className="themes" role="radiogroup" aria-labelledby="looks">
        {THEMES.map(({ theme: one, name, icon }) => (
          <label key={one} className="theme">
            <input
              type="radio"
              name="theme"
              checked={theme === one}
              onChange={() => choose(one)}
            />
            <span>
              <Icon name={icon} />
              {name}
            </span>
          </label>
        ))}
      </div>
    </section>
  )
}
