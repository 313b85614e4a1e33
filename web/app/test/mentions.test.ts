import { expect, it } from 'vitest'
import type { User } from '../src/api/tables'
import { mentionAt, pieces, suggestions, withMention } from '../src/board/detail/mentions'

const ada: User = { id: 'ada', name: 'Ada Winter', hue: 12 }
const ben: User = { id: 'ben', name: 'Ben Sommer', hue: 205 }

it('finds the name that is being written', () => {
  expect(mentionAt('Ask @be', 7)).toEqual({ start: 4, end: 7, word: 'be' })
  expect(mentionAt('@', 1)).toEqual({ start: 0, end: 1, word: '' })
  expect(mentionAt('ada@harbour', 11)).toBeNull()
  expect(mentionAt('Ask @ben now', 12)).toBeNull()
})

it('completes it, and goes on behind it', () => {
  expect(withMention('Ask @be today', { start: 4, end: 7, word: 'be' }, 'ben')).toEqual({ text: 'Ask @ben today', caret: 9 })
})

it('suggests by any part of a name', () => {
  expect(suggestions([ada, ben], 'som')).toEqual([ben])
  expect(suggestions([ada, ben], '')).toEqual([ada, ben])
})

it('shows people where they are named, as the server finds them', () => {
  expect(pieces('Thanks @Ada, and @ben.', [ada, ben])).toEqual([
    { kind: 'text', text: 'Thanks ' },
    { kind: 'person', user: ada },
    { kind: 'text', text: ', and ' },
    { kind: 'person', user: ben },
    { kind: 'text', text: '.' },
  ])
  expect(pieces('nobody@ada.example', [ada])).toEqual([{ kind: 'text', text: 'nobody@ada.example' }])
})
