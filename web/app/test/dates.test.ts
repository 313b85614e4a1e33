import { afterEach, describe, expect, it } from 'vitest'
import { due, dueDay, endOfDay } from '../src/design/texts'

const home = process.env['TZ']
afterEach(() => {
  process.env['TZ'] = home ?? 'UTC'
})

describe.each(['Pacific/Auckland', 'Europe/Berlin', 'America/Los_Angeles'])('a due date in %s', (zone) => {
  it('is the day that was chosen', () => {
    process.env['TZ'] = zone
    expect(dueDay(endOfDay('2026-11-26'))).toBe('2026-11-26')
    // Noon on the wall, wherever that is.
    const noon = new Date(2026, 10, 26, 12).getTime()
    expect(due(endOfDay('2026-11-26'), true, noon).text).toBe('Today')
    expect(due(endOfDay('2026-11-27'), false, noon)).toEqual({ text: 'Tomorrow', tone: 'soon' })
    expect(due(endOfDay('2026-11-25'), false, noon)).toEqual({ text: 'Yesterday', tone: 'late' })
    expect(due(endOfDay('2026-12-24'), false, noon)).toEqual({ text: 'Dec 24', tone: 'later' })
  })
})
