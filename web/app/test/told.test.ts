import { expect, it } from 'vitest'
import type { Definition, Notification } from '../src/api/tables'
import { told } from '../src/people/told'

const names = { person: (id: string) => id, category: (id: string) => id }
const definitions = new Map(
  [
    { name: 'open', title: 'Open', unit: 'cards' },
    { name: 'lead_time_p85', title: 'Lead time, 85 %', unit: 'seconds' },
    { name: 'sla_attainment', title: 'On time', unit: 'share' },
  ].map((definition) => [definition.name, definition as Definition]),
)

const notified = (detail: Record<string, unknown>): Notification => ({ id: '1', user_id: 'ada', board_id: '1', entry_id: null, kind: 'kpi', detail, created_at: '', read_at: null })

it.each([
  [{ kpi: 'open', value: 21, comparison: 'above', threshold: 20 }, 'Open is 21, above 20'],
  [{ kpi: 'lead_time_p85', value: 270_000, comparison: 'above', threshold: 259_200 }, 'Lead time, 85 % is 3.1 d, above 3 d'],
  [{ kpi: 'sla_attainment', value: 0.75, comparison: 'below', threshold: 0.8 }, 'On time is 75%, below 80%'],
  [{ kpi: 'bus_factor', value: 1, comparison: 'below', threshold: 2 }, 'Bus factor is 1, below 2'],
])('tells of a measure by its title and unit: %o', (detail, text) => {
  expect(told(notified(detail), names, definitions).text).toBe(text)
})
