import { Tidegate } from '@tidegate/client'
import { indexedDb } from '@tidegate/client/persist'
import { useRows } from '@tidegate/client/react'
import { tabs } from '@tidegate/client/tabs'
import { createContext, useCallback, useContext, useMemo, useRef } from 'react'
import type { Person } from '../session/kept'
import type { PageSettings } from '../session/page'
import { Api, type Command, type Reply } from './http'
import { inWords, isOpen } from './problem'
import { Wire } from './wire'
import { say } from '../design/toasts'
import type { Board, Member, User } from './tables'

/** Where it is kept which board was open last. */
export const LAST_BOARD = 'tidegate.board'

/** What every view works with: live rows, commands, and who asks. */
export interface Workspace {
  tide: Tidegate
  api: Api
  wire: Wire
  page: PageSettings
  /** Null where nobody signs in: then there is only looking. */
  person: Person | null
  /** Leaves nothing of what they could see behind, as when they sign out. */
  forget: () => Promise<void>
}

interface Settings {
  page: PageSettings
  person: Person | null
  token: (refused?: boolean) => Promise<string | null>
  /** Addresses of a network of the page's own, instead of the servers'. */
  line: readonly string[] | null
}

export function openWorkspace({ page, person, token, line }: Settings): Workspace {
  const addresses = line ?? ownFirst(page.servers)
  const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:'
  const scope = person?.id ?? 'anybody'
  const kept = indexedDb(scope)
  const tide = new Tidegate(addresses.map((address) => `${scheme}//${address}/v1/socket`), {
    token: (reason) => token(reason === 'refused'),
    persist: kept,
    // A network of one's own is not shared with other tabs.
    ...(!line && { share: tabs(scope) }),
  })
  const api = new Api({ origin: () => origin(tide, addresses, line !== null), token, lost: () => lostOf(tide), doubt: () => tide.wake(), pause: (ms) => untilLive(tide, ms) })
  const forget = async () => {
    tide.close()
    localStorage.removeItem(LAST_BOARD)
    await kept.clear()
  }
  return { tide, api, wire: new Wire(tide), page, person, forget }
}

function ownFirst(servers: readonly string[]): string[] {
  const own = servers.filter((server) => server === location.host)
  return [...(own.length > 0 ? own : [location.host]), ...servers.filter((server) => server !== location.host)]
}

/** Requests go to where the socket is: that server is there. */
function origin({ status }: Tidegate, addresses: readonly string[], isOwnLine: boolean): string {
  const { server, state } = status.current
  const host = server && state === 'live' ? hostOf(server) : isOwnLine ? addresses[0] : undefined
  return !host || host === location.host ? '' : `${location.protocol}//${host}`
}

export function hostOf(server: string): string {
  return server.includes('://') ? new URL(server).host : server
}

function lostOf({ status }: Tidegate): { signal: AbortSignal; release: () => void } {
  const ending = new AbortController()
  let wasLive = false
  const release = status.subscribe(({ state }) => {
    if (wasLive && (state === 'offline' || state === 'resuming')) ending.abort()
    wasLive = state === 'live'
  })
  return { signal: ending.signal, release }
}

function untilLive({ status }: Tidegate, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const wasLive = status.current.state === 'live'
    const done = () => {
      clearTimeout(timer)
      stop()
      resolve()
    }
    const timer = setTimeout(done, ms)
    const stop = status.subscribe(({ state }) => {
      if (state === 'live' && !wasLive) done()
    })
  })
}

const Context = createContext<Workspace | null>(null)
export const WorkspaceProvider = Context.Provider

export function useWorkspace(): Workspace {
  const workspace = useContext(Context)
  if (!workspace) throw new Error('There is no workspace around this')
  return workspace
}

interface Told {
  /** What is said when it is done. */
  done?: string
  /** Called if nobody knows whether it was done. */
  unsure?: () => void
}

/** Gives a command, tells what was refused, and waits until the screen shows what was done. */
export function useCommand(): <R>(command: Command, told?: Told) => Promise<Reply<R> | null> {
  const { api, tide } = useWorkspace()
  return useMemo(
    () => async <R,>(command: Command, { done, unsure }: Told = {}) => {
      try {
        const reply = await api.send<R>(command)
        // What has been done stands, also if the stream is late to show it.
        await tide.seen({ tx: reply.tx, lsn: reply.lsn }, { timeoutMs: 5_000 }).catch(() => undefined)
        if (done) say(done, 'good')
        return reply
      } catch (error) {
        say(inWords(error), 'bad')
        if (isOpen(error)) unsure?.()
        return null
      }
    },
    [api, tide],
  )
}

/**
 * Makes one thing of words. When nobody knew what came of it, the same words go by the same command and key again: if it
 * was made then, it is not made twice.
 */
export function useMaking(): <R>(words: string, make: () => Command) => Promise<Reply<R> | null> {
  const command = useCommand()
  const open = useRef<{ words: string; command: Command } | null>(null)
  return useCallback(
    async <R,>(words: string, make: () => Command) => {
      const making = open.current?.words === words ? open.current : { words, command: { ...make(), key: crypto.randomUUID() } }
      open.current = null
      return command<R>(making.command, { unsure: () => (open.current = making) })
    },
    [command],
  )
}

export function usePeople(): ReadonlyMap<string, User> {
  const { tide } = useWorkspace()
  return useRows(tide.rows<User>('public.users', { columns: ['id', 'name', 'hue'] })).rows
}

export function useBoards() {
  const { tide } = useWorkspace()
  return useRows(tide.rows<Board>('public.boards'))
}

export function useMembers(board: string) {
  const { tide } = useWorkspace()
  return useRows(tide.rows<Member>('public.board_members', { where: 'board_id = $1', params: [board] }))
}

interface Rights {
  edit: boolean
  admin: boolean
}

/** Sees every board, and changes none: see docs/application.md. */
const LEAD = 'app_lead'

/** Whether one may change anything on any board, as far as that is known before. */
export function useMayChange(): boolean {
  const { person, page } = useWorkspace()
  return person !== null && page.application && person.role !== LEAD
}

/** What one may do on a board. The server judges; this only leaves out what it would refuse. */
export function useRights(board: string): Rights {
  const { person } = useWorkspace()
  const mayChange = useMayChange()
  const { rows } = useMembers(board)
  const own = person && [...rows.values()].find((member) => member.user_id === person.id)
  const edit = mayChange && (own?.role === 'member' || own?.role === 'admin')
  return { edit, admin: mayChange && own?.role === 'admin' }
}
