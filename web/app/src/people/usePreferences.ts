import { useRows } from '@tidegate/client/react'
import { useCallback, useEffect, useRef } from 'react'
import { putPreferences } from '../api/commands'
import type { Preferences } from '../api/tables'
import { useCommand, useWorkspace } from '../api/workspace'
import { setTheme } from '../app/theme'

interface Row {
  user_id: string
  preferences: Preferences
  version: number
}

function usePreferencesRow(): Row | undefined {
  const { tide, person } = useWorkspace()
  const { rows } = useRows(person ? tide.rows<Row>('public.user_preferences', { where: 'user_id = $1', params: [person.id] }) : null)
  return person ? rows.get(person.id) : undefined
}

/** Keeps what one likes with what was kept before. Where nobody signs in this machine alone remembers. */
export function useKeptPreferences(): (changes: Preferences) => void {
  const { person } = useWorkspace()
  const command = useCommand()
  const row = usePreferencesRow()
  return useCallback(
    (changes) => {
      if (person) void command(putPreferences({ ...row?.preferences, ...changes }))
    },
    [person, command, row],
  )
}

/** Follows what one has chosen on another machine. */
export function useFollowedPreferences(): void {
  const row = usePreferencesRow()
  const followed = useRef(0)
  const { version = 0, preferences } = row ?? {}
  useEffect(() => {
    if (version <= followed.current) return
    followed.current = version
    if (preferences?.theme) setTheme(preferences.theme)
  }, [version, preferences])
}
