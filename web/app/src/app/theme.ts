import { useSyncExternalStore } from 'react'

export type Theme = 'system' | 'light' | 'dark'

const KEPT = 'tidegate.theme'
const listeners = new Set<() => void>()

function kept(): Theme {
  const theme = document.documentElement.dataset['theme']
  return theme === 'light' || theme === 'dark' ? theme : 'system'
}

/** Kept where `theme.js` finds it before the first paint. */
export function setTheme(theme: Theme): void {
  if (theme === 'system') {
    delete document.documentElement.dataset['theme']
    localStorage.removeItem(KEPT)
  } else {
    document.documentElement.dataset['theme'] = theme
    localStorage.setItem(KEPT, theme)
  }
  for (const listener of listeners) listener()
}

export function useTheme(): Theme {
  return useSyncExternalStore((listener) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  }, kept)
}

export function isDark(theme: Theme): boolean {
  return theme === 'dark' || (theme === 'system' && matchMedia('(prefers-color-scheme: dark)').matches)
}
