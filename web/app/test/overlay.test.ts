import { describe, expect, it } from 'vitest'
import type { Entry } from '../src/api/tables'
import { Overlay } from '../src/board/overlay'
import { isOver, next } from '../src/board/pending'

const row = { id: '1', state_id: 'a', position: 'V', title: 'One' } as Entry

describe('what was asked for', () => {
  it('is shown until the stream shows it', () => {
    const overlay = new Overlay()
    const key = overlay.add('1', { state_id: 'b', position: 'A', bias: 1 })
    expect(overlay.over(row)).toMatchObject({ state_id: 'b', phase: 'sending' })
    overlay.turn(key, 'accepted')
    expect(overlay.over(row)).toMatchObject({ state_id: 'b', phase: 'settling' })
    overlay.turn(key, 'seen')
    expect(overlay.over(row)).toBe(row)
  })

  it('is taken back when it is refused', () => {
    const overlay = new Overlay()
    overlay.turn(overlay.add('1', { state_id: 'b' }), 'refused')
    expect(overlay.over(row)).toBe(row)
    expect(overlay.size).toBe(0)
  })

  it('waits while the line is down, and goes on', () => {
    const overlay = new Overlay()
    const key = overlay.add('1', { title: 'Two' })
    expect(overlay.turn(key, 'unreachable')).toBe('waiting')
    expect(overlay.over(row)).toMatchObject({ title: 'Two', phase: 'waiting' })
    expect(overlay.turn(key, 'retry')).toBe('sending')
  })

  it('lies in the order in which it was asked, each by itself', () => {
    const overlay = new Overlay()
    const first = overlay.add('1', { title: 'Two', state_id: 'b' })
    overlay.add('1', { title: 'Three' })
    expect(overlay.over(row)).toMatchObject({ title: 'Three', state_id: 'b' })
    overlay.turn(first, 'refused')
    expect(overlay.over(row)).toMatchObject({ title: 'Three', state_id: 'a' })
  })

  it('may be that it goes', () => {
    const overlay = new Overlay()
    const key = overlay.add('1', 'gone')
    expect(overlay.over(row)).toBeUndefined()
    overlay.turn(key, 'refused')
    expect(overlay.over(row)).toBe(row)
  })
})

describe('phases', () => {
  it('end once', () => {
    expect(next('refused', 'accepted')).toBe('refused')
    expect(next('settled', 'refused')).toBe('settled')
    expect(next('settling', 'expired')).toBe('settled')
    expect(isOver('settling')).toBe(false)
  })

  it('keep what they do not know', () => {
    expect(next('sending', 'seen')).toBe('sending')
  })
})
