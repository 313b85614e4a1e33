import { describe, expect, it } from 'vitest'
import type { Definition, Kpi } from '../src/api/tables'
import { lineOf, measures, titleOf, wholes } from '../src/dashboard/kpis'

const definition = (name: string, more: Partial<Definition> = {}): Definition => ({
  name,
  title: name.toUpperCase(),
  description: '',
  unit: 'cards',
  dimension: null,
  audience: 'members',
  enabled: true,
  computed_at: null,
  ...more,
})

const all = [
  definition('zeal'),
  definition('sla_attainment', { unit: 'share' }),
  definition('lead_time_p50', { unit: 'seconds' }),
  definition('entries_by_state', { dimension: 'state' }),
  definition('ardour'),
  definition('retired', { enabled: false }),
  definition('open'),
]
const definitions = new Map(all.map((one) => [one.name, one]))

const kpi = (board_id: string, kpi: string, value: number, recent: number[] = [value], item = ''): Kpi => ({ board_id, kpi, item, value, audience: 'members', recent, measured_at: '' })

const shown = (rows: Kpi[], board: string | null) => measures(rows, definitions, board).map(({ definition: { name }, value }) => [name, value])

describe('measures', () => {
  const rows = [
    kpi('1', 'zeal', 3),
    kpi('1', 'open', 5),
    kpi('2', 'open', 7),
    kpi('1', 'lead_time_p50', 3_600),
    kpi('2', 'lead_time_p50', 7_200),
    kpi('1', 'sla_attainment', 0.5),
    kpi('1', 'ardour', 1),
    kpi('1', 'retired', 9),
    kpi('1', 'unheard_of', 9),
    kpi('1', 'entries_by_state', 4, [4], '11'),
  ]

  it('of one board are its wholes, in order, and what people have added behind', () => {
    expect(shown(rows, '1')).toEqual([
      ['open', 5],
      ['lead_time_p50', 3_600],
      ['sla_attainment', 0.5],
      ['ardour', 1],
      ['zeal', 3],
    ])
  })

  it('of several boards are the sums of what can be added up', () => {
    expect(shown(rows, null)).toEqual([
      ['open', 12],
      ['ardour', 1],
      ['zeal', 3],
    ])
  })

  it('change against ten samples ago, or the first', () => {
    const change = (recent: number[], value: number) => measures([kpi('1', 'open', value, recent)], definitions, '1')[0]?.change
    expect(change([4, 5, 6], 6)).toBe(2)
    expect(change([0, ...Array.from({ length: 11 }, (_, index) => index + 10)], 20)).toBe(10)
    expect(change([], 6)).toBe(0)
  })

  it('have lines that end with what is now', () => {
    expect(lineOf(kpi('1', 'open', 6, [4, 5, 6]))).toEqual([4, 5, 6])
    expect(lineOf(kpi('1', 'open', 7, [4, 5, 6]))).toEqual([4, 5, 6, 7])
  })

  it('have lines that are added up by their ends', () => {
    const [open] = measures([kpi('1', 'open', 3, [1, 2, 3]), kpi('2', 'open', 10, [10])], definitions, null)
    expect(open?.recent).toEqual([11, 12, 13])
  })
})

it('names what it does not know by its name', () => {
  expect(titleOf(definitions, 'open')).toBe('OPEN')
  expect(titleOf(definitions, 'bus_factor')).toBe('Bus factor')
})

it('leaves out what has parts, and what is off', () => {
  expect(wholes(definitions).map(({ name }) => name)).toEqual(['open', 'lead_time_p50', 'sla_attainment', 'ardour', 'zeal'])
})
