import { expect, it, vi } from 'vitest'
import { Problem, Unreachable, inWords } from '../src/api/problem'
import { patiently, pauseAfter } from '../src/api/retry'

/** A clock that only waiting moves. */
function clock() {
  let now = 0
  return {
    now: () => now,
    pause: (ms: number) => {
      now += ms
      return Promise.resolve()
    },
  }
}

it('tries until the line is back', async () => {
  const attempt = vi.fn().mockRejectedValueOnce(new Unreachable(null)).mockRejectedValueOnce(new Problem(503, { code: 'unavailable' })).mockResolvedValue('done')
  const onWait = vi.fn()
  expect(await patiently(attempt, { ...clock(), onWait })).toBe('done')
  expect(onWait.mock.calls).toEqual([[true], [false]])
})

it('takes no for an answer', async () => {
  const attempt = vi.fn().mockRejectedValue(new Problem(409, { code: 'wip_limit' }))
  await expect(patiently(attempt, clock())).rejects.toThrow(Problem)
  expect(attempt).toHaveBeenCalledTimes(1)
})

it('gives up after a minute', async () => {
  const time = clock()
  await expect(patiently(() => Promise.reject(new Unreachable(null)), time)).rejects.toThrow(Unreachable)
  expect(time.now()).toBeLessThan(60_000)
  expect(time.now()).toBeGreaterThan(45_000)
})

it('waits as long as it is told', async () => {
  const time = clock()
  const attempt = vi.fn().mockRejectedValueOnce(new Problem(429, { code: 'rate_limited' }, 7_000)).mockResolvedValue(1)
  await patiently(attempt, time)
  expect(time.now()).toBe(7_000)
})

it('asks again for what is shown ever more seldom, each page at a time of its own', () => {
  const failed = new Problem(500, {})
  const pauses = (random: number) => [1, 2, 3, 7, 20].map((count) => pauseAfter(count, failed, () => random))
  expect(pauses(0)).toEqual([500, 1_000, 2_000, 30_000, 30_000])
  expect(pauses(1)).toEqual([1_000, 2_000, 4_000, 60_000, 60_000])
  expect(pauseAfter(1, new Problem(503, {}, 9_000))).toBe(9_000)
})

it('says in words what was refused', () => {
  const refused = (code: string, errors = [] as { field: string; message: string }[]) => inWords(new Problem(409, { code, errors }))
  expect(refused('wip_limit')).toBe('That column is full.')
  expect(refused('transition_refused', [{ field: 'assignee_id', message: '' }, { field: 'due_at', message: '' }])).toBe('It needs an assignee and a due date first.')
  expect(refused('transition_refused')).toBe('This card may not go that way yet.')
  expect(refused('invalid_input', [{ field: 'title', message: 'must not be empty' }])).toBe('Title must not be empty.')
})
