import { useEffect } from 'react'

/** What the window is called while a view is there. */
export function useTitle(name: string | undefined): void {
  useEffect(() => {
    document.title = name ? `${name} · Tidegate` : 'Tidegate'
    return () => {
      document.title = 'Tidegate'
    }
  }, [name])
}
