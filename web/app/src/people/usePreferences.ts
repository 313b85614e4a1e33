import type { Rows } from '@tidegate/client'
import { useRows } from '@tidegate/client/react'
import { useCallback, useEffect, useRef } from 'react'
import { putPreferences } from '../api/commands'
import type { Preferences } from '../api/tables'
import { useCommand, useWorkspace } from '../api/workspace'
import { setTheme, type Theme } from '../app/theme'

interface Row {
  user_id: string
  preferences: Preferences
  version: number
}

function usePreferencesRows(): Rows<Row> | null {
  const { tide, person } = useWorkspace()
  return person ? tide.rows<Row>('public.user_preferences', { where: 'user_id = $1', params: [person.id] }) : null
}

/** One after the other: each is put on top of what the one before it has left. */
let last: Promise<void> = Promise.resolve()
let pending = 0

/** Keeps what one likes with what was kept before. Where nobody signs in this machine alone remembers. */
function useKeptPreferences(): (changes: Preferences) => void {
  const command = useCommand()
  const rows = usePreferencesRows()
  return useCallback(
    (changes) => {
      if (!rows) return
      const keep = async () => {
        // What is not known yet would be overwritten.
        if (!(await known(rows))) return
        const [row] = rows.current.values()
        await command(putPreferences({ ...row?.preferences, ...changes }))
      }
      pending += 1
      last = last.then(keep).finally(() => (pending -= 1))
    },
    [rows, command],
  )
}

/** Light or dark, at once here, and then wherever else one signs in. */
export function useChosenTheme(): (theme: Theme) => void {
  const keep = useKeptPreferences()
  return useCallback(
    (theme) => {
      setTheme(theme)
      keep({ theme })
    },
    [keep],
  )
}

/** Follows what one has chosen on another machine. */
export function useFollowedPreferences(): void {
  const { rows } = useRows(usePreferencesRows())
  const followed = useRef(0)
  const [row] = rows.values()
  const { version = 0, preferences } = row ?? {}
  useEffect(() => {
    // What was chosen here and is still on its way is newer than what comes.
    if (version <= followed.current || pending > 0) return
    followed.current = version
    if (preferences?.theme) setTheme(preferences.theme)
  }, [version, preferences])
}

const KNOWN_MS = 60_000

/** Whether the rows come to be those of now, while somebody would wait for that. */
function known(rows: Rows<Row>): Promise<boolean> {
  return new Promise((resolve) => {
    const look = () => {
      if (rows.state === 'live') done(true)
      else if (rows.state === 'ended') done(false)
    }
    const done = (isKnown: boolean) => {
      clearTimeout(timer)
      stop()
      resolve(isKnown)
    }
    const timer = setTimeout(done, KNOWN_MS, false)
    const stop = rows.watch(look)
    look()
  })
}
