import { Icon } from '../design/icons'
import { isDark, setTheme, useTheme } from './theme'

export function ThemeButton() {
  const dark = isDark(useTheme())
  return (
    <button type="button" className="button" data-kind="quiet" data-icon="" aria-label={dark ? 'Light colours' : 'Dark colours'} title={dark ? 'Light' : 'Dark'} onClick={() => setTheme(dark ? 'light' : 'dark')}>
      <Icon name={dark ? 'sun' : 'moon'} />
    </button>
  )
}
