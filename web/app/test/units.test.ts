import { expect, it } from 'vitest'
import { amount, isSummed, span, steps, writtenIn } from '../src/dashboard/units'

const [MINUTE, HOUR, DAY] = [60, 3_600, 86_400]

it.each([
  [0, '0 s'],
  [0.4, '0 s'],
  [59.4, '59 s'],
  [59.5, '1 min'],
  [40 * MINUTE, '40 min'],
  [59.4 * MINUTE, '59 min'],
  [59.6 * MINUTE, '1 h'],
  [5 * HOUR, '5 h'],
  [5.25 * HOUR, '5.3 h'],
  [9.97 * HOUR, '10 h'],
  [17.4 * HOUR, '17 h'],
  [23.4 * HOUR, '23 h'],
  [23.6 * HOUR, '1 d'],
  [3.2 * DAY, '3.2 d'],
  [12.4 * DAY, '12 d'],
  [1_400 * DAY, '1,400 d'],
])('tells a span of %d s as %s', (seconds, text) => {
  expect(span(seconds)).toBe(text)
})

it.each([
  [0.759, 'share', '75.9%'],
  [1, 'share', '100%'],
  [0, 'share', '0%'],
  [1_234, 'cards', '1,234'],
  [2.25, 'number', '2.3'],
  [7, 'activities', '7'],
  [-HOUR, 'seconds', '−1 h'],
] as const)('tells %d of the unit %s as %s', (value, unit, text) => {
  expect(amount(value, unit)).toBe(text)
})

it('adds up what boards have of a thing, and no medians, shares or means', () => {
  const units = ['cards', 'activities', 'number', 'seconds', 'share'] as const
  expect(units.filter((unit) => isSummed({ unit }))).toEqual(['cards', 'activities', 'number'])
})

it('takes down spans in hours and shares in percent', () => {
  expect(5 * writtenIn('seconds').factor).toBe(5 * HOUR)
  expect(80 * writtenIn('share').factor).toBe(0.8)
  expect(20 * writtenIn('cards').factor).toBe(20)
})

it('has steps that grow', () => {
  for (const unit of ['cards', 'activities', 'number', 'seconds', 'share'] as const) {
    expect(steps(unit)).toEqual([...new Set(steps(unit))].sort((a, b) => a - b))
  }
})
