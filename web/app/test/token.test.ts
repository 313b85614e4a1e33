import { expect, it } from 'vitest'
import { roleOf } from '../src/session/token'

const token = (claims: object) => `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`

it('reads the role of a token, where there is one to be read', () => {
  expect(roleOf(token({ sub: 'cleo', role: 'app_lead', name: 'Chloë??>' }))).toBe('app_lead')
  expect(roleOf(token({ sub: 'ada', role: ['a'] }))).toBeNull()
  expect(roleOf(token({ sub: 'ada' }))).toBeNull()
  expect(roleOf('opaque')).toBeNull()
  expect(roleOf('a.b.c')).toBeNull()
  expect(roleOf('')).toBeNull()
})
