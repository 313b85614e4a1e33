import { createContext, useContext } from 'react'
import type { Sessions } from './session'

export const SessionContext = createContext<Sessions | null>(null)

export function useSession(): Sessions {
  const sessions = useContext(SessionContext)
  if (!sessions) throw new Error('There is no session around this')
  return sessions
}
