import { Icon } from '../design/icons'
import { isDark, setTheme, type Theme, useTheme } from './theme'

/** The other of the two. */
export function ThemeButton({ onTheme = setTheme }: { onTheme?: (theme: Theme) => void }) {
  const dark = isDark(useTheme())
  return (
    <button type="button" className="button" data-kind="quiet" data-icon="" aria-label={dark ? 'Light colours' : 'Dark colours'} title={dark ? 'Light' : 'Dark'} onClick={() => onTheme(dark ? 'light' : 'dark')}>
      <Icon name={dark ? 'sun' : 'moon'} />
    </button>
  )
}
