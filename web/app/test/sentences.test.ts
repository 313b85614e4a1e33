import { expect, it } from 'vitest'
import { type Names, plain, sentence } from '../src/activity/sentences'
import type { Activity } from '../src/api/tables'

const names: Names = { person: (id) => ({ ada: 'Ada Winter', ben: 'Ben Sommer' })[id] ?? id, category: () => 'Hardware' }

function said(action: string, detail: Record<string, unknown>, subject: Activity['subject'] = 'entry'): string {
  return plain(sentence({ id: '1', board_id: '1', at: '', actor_id: 'ada', subject, action, entry_id: '7', detail }, names))
}

const title = 'Ticket machine'

it.each([
  ['created', { title }, 'added Ticket machine'],
  ['moved', { title, from: 'Review', to: 'Done' }, 'moved Ticket machine from Review to Done'],
  ['moved', { title, to: 'Backlog', top: true }, 'moved Ticket machine to the top of Backlog'],
  ['moved', { title }, 'moved Ticket machine to another place'],
  ['closed', { title, from: 'Review', to: 'Done' }, 'moved Ticket machine from Review to Done'],
  ['reopened', { title, from: 'Done', to: 'In progress' }, 'took Ticket machine back to In progress'],
  ['assigned', { title, assignee_id: 'ben' }, 'gave Ticket machine to Ben Sommer'],
  ['assigned', { title, assignee_id: 'ada' }, 'took Ticket machine'],
  ['assigned', { title, assignee_id: null }, 'took everybody off Ticket machine'],
  ['edited', { title, priority: 2 }, 'made Ticket machine urgent'],
  ['edited', { title, changed: { priority: { from: '1', to: '0' } } }, 'made Ticket machine low'],
  ['edited', { title, changed: { title: { from: 'Machine', to: title } } }, 'renamed Machine to Ticket machine'],
  ['edited', { title, changed: { body: true } }, 'described Ticket machine'],
  ['edited', { title, changed: { labels: { from: '{}', to: '{bug,"two words"}' } } }, 'labelled Ticket machine bug, two words'],
  ['edited', { title, changed: { category_id: { from: null, to: '4' } } }, 'put Ticket machine in Hardware'],
  ['edited', { title, changed: { due_at: { from: null, to: '2026-11-26 15:00:00+00' } } }, 'set Ticket machine due Nov 26'],
  ['edited', { title, changed: { body: true, title: {} } }, 'changed the description and the title of Ticket machine'],
  ['archived', { title }, 'archived Ticket machine'],
])('tells of cards: %s', (action, detail, words) => {
  expect(said(action, detail)).toBe(words)
})

it('tells of what was said', () => {
  expect(said('commented', { title, text: 'Nice!' }, 'comment')).toBe('commented on Ticket machine “Nice!”')
})

it('tells of people', () => {
  expect(said('added', { user_id: 'ben', role: 'member' }, 'member')).toBe('added Ben Sommer as member')
  expect(said('changed', { user_id: 'ben', role: 'admin' }, 'member')).toBe('made Ben Sommer an admin')
  expect(said('removed', { user_id: 'ben' }, 'member')).toBe('took Ben Sommer off the board')
  expect(said('removed', { user_id: 'ada' }, 'member')).toBe('left the board')
})

it('tells of the workflow', () => {
  expect(said('state_created', { name: 'Testing' }, 'workflow')).toBe('added the column Testing')
  expect(said('transition_deleted', { name: 'skip' }, 'workflow')).toBe('removed the way skip')
})

it('says something of what it does not know', () => {
  expect(said('escalated_twice', { title })).toBe('escalated twice Ticket machine')
})
