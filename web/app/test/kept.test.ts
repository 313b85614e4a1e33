import { beforeEach, describe, expect, it, vi } from 'vitest'
import { forget, isOwn, keptPerson } from '../src/session/kept'

/** The storage of a tab; one that is duplicated begins with a copy of it. */
function storage(copied: ReadonlyMap<string, string> = new Map()) {
  const items = new Map(copied)
  vi.stubGlobal('sessionStorage', {
    getItem: (key: string) => items.get(key) ?? null,
    setItem: (key: string, value: string) => void items.set(key, value),
    removeItem: (key: string) => void items.delete(key),
  })
  return items
}

/** What the page listens to while it is there. */
let leaving: (() => void)[] = []
beforeEach(() => {
  leaving = []
  vi.stubGlobal('addEventListener', (type: string, listener: () => void) => type === 'pagehide' && leaving.push(listener))
})

const session = JSON.stringify({ refresh_token: 'r', profile: { sub: 'ada', name: 'Ada' } })

describe('a tab that keeps a sign-in', () => {
  it('is its own after a reload', async () => {
    const first = storage()
    await isOwn()
    sessionStorage.setItem('tidegate.session', session)
    for (const leave of leaving) leave()
    storage(first)
    expect(await isOwn()).toBe(true)
    for (const leave of leaving) leave()
  })

  it('is not, if it is a copy of one that is there', async () => {
    const first = storage()
    await isOwn()
    sessionStorage.setItem('tidegate.session', session)
    storage(first)
    expect(await isOwn()).toBe(false)
    forget()
    expect(keptPerson()).toBeNull()
    expect(first.get('tidegate.session')).toBe(session)
    for (const leave of leaving) leave()
  })
})
