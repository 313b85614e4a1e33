// @vitest-environment happy-dom
// @vitest-environment-options {"settings":{"fetch":{"disableSameOriginPolicy":true}}}
import { act } from 'react'
import { createRoot } from 'react-dom/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { useChannel, useRows, useStatus } from '../src/react.js'
import type { Tidegate } from '../src/index.js'
import { eventually, House, type Server } from './house.js'

interface Item {
  id: string
  name: string
}

let house: House
let server: Server

beforeAll(async () => {
  house = await House.found(`create table items (id bigint primary key, name text not null); alter table items replica identity full`)
  server = await house.serve()
})
afterAll(() => house[Symbol.asyncDispose]())

test('a component shows rows, events and the line, draws once a frame, and lets go when it leaves', async () => {
  let draws = 0
  const heard: unknown[] = []
  const List = ({ tide, where }: { tide: Tidegate; where: string | null }) => {
    const { rows, state } = useRows(where === null ? null : tide.rows<Item>('items', { where }))
    useChannel<string>(tide.channel('news'), ({ data }) => heard.push(data))
    const status = useStatus(tide)
    draws++
    return (
      <p data-state={state} data-line={status.state}>
        {[...rows.values()].map(({ name }) => name).sort().join()}
      </p>
    )
  }
  const network = await house.network(server)
  const tide = house.client(network)
  const place = document.createElement('div')
  const root = createRoot(place)
  const look = () => place.querySelector('p')!
  root.render(<List tide={tide} where="id < 100" />)
  await eventually('it is live', () => look()?.dataset.state === 'live' && look().dataset.line === 'live')
  await house.sql`insert into items values (1, 'one'), (200, 'elsewhere')`
  await eventually('the row', () => look().textContent === 'one')
  await fetch(`http://${server.address}/v1/publish`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"channel":"news","data":"hello"}' })
  await eventually('the event', () => heard.length === 1)

  const before = draws
  for (let n = 0; n < 200; n++) await house.sql`update items set name = ${`n${n}`} where id = 1`
  await eventually('the last', () => look().textContent === 'n199')
  expect(draws - before).toBeLessThan(200)

  // Other rows, and none.
  root.render(<List tide={tide} where="id > 100" />)
  await eventually('the other row', () => look().textContent === 'elsewhere')
  root.render(<List tide={tide} where={null} />)
  await eventually('nothing', () => look().textContent === '' && look().dataset.state === 'idle')
  await act(async () => root.unmount())
  await eventually('the line is let go', () => network.connections === 0)
})
