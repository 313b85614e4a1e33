import { describe, expect, it } from 'vitest'
import type { FullEntry } from '../src/api/tables'
import { versionOn } from '../src/board/detail/base'
import { relabelled } from '../src/board/detail/labels'

const card = (version: number, more: Partial<FullEntry>) => ({ id: '1', version, ...more }) as FullEntry

describe('a text is written on', () => {
  it('what one did oneself since, if that left the text as it was', () => {
    expect(versionOn('old', 'body', card(5, { body: 'old' }), card(3, { body: 'old' }))).toBe(5)
  })

  it('the version that one has read, where nobody knows the text of a later one, or it is another', () => {
    const { body: _, ...shown } = card(5, { body: '' })
    expect(versionOn('old', 'body', shown, card(3, { body: 'old' }))).toBe(3)
    expect(versionOn('old', 'title', card(5, { title: 'theirs' }), card(3, { title: 'old' }))).toBe(3)
  })
})

it('puts one label on and takes one off, and leaves the others', () => {
  expect(relabelled(['a', 'b'], { add: 'c' })).toEqual(['a', 'b', 'c'])
  expect(relabelled(['a', 'b'], { add: 'b' })).toEqual(['a', 'b'])
  expect(relabelled(['a', 'b'], { remove: 'a' })).toEqual(['b'])
})
