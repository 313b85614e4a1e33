import { createCollection } from '@tanstack/db'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { tidegateCollectionOptions } from '../src/tanstack.js'
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

/** Runs a statement, and gives back the write as a reply would tell it. */
async function write(text: string, params: string[]) {
  const [row] = await house.sql.begin(async (sql) => {
    await sql.unsafe(text, params)
    return sql<{ tx: string }[]>`select pg_current_xact_id()::xid::text as tx`
  })
  const [at] = await house.sql<{ lsn: string }[]>`select pg_current_wal_insert_lsn()::text as lsn`
  return { tx: row!.tx, lsn: at!.lsn }
}

test('a collection holds live rows; what is changed in it shows at once, and stays or is taken back', async () => {
  await house.sql`insert into items values (1, 'one'), (2, 'two')`
  const network = await house.network(server)
  const rows = house.client(network).rows<Item>('items')
  const items = createCollection(
    tidegateCollectionOptions<Item>({
      rows,
      onInsert: async ({ transaction }) => {
        const { id, name } = transaction.mutations[0].modified
        return write('insert into items values ($1, $2)', [id, name])
      },
      onUpdate: async ({ transaction }) => {
        const { id, name } = transaction.mutations[0].modified
        if (name === 'forbidden') throw new Error('not this name')
        return write('update items set name = $2 where id = $1', [id, name])
      },
      onDelete: async ({ transaction }) => write('delete from items where id = $1', [transaction.mutations[0].original.id]),
    }),
  )
  await items.preload()
  expect(items.toArray.map(({ name }) => name).sort()).toEqual(['one', 'two'])
  await house.sql`update items set name = 'zwei' where id = 2`
  await eventually('another’s change', () => items.get('2')?.name === 'zwei')

  const insert = items.insert({ id: '3', name: 'three' })
  expect(items.get('3')?.name).toBe('three')
  await insert.isPersisted.promise
  expect([items.get('3')?.name, rows.current.get('3')?.name]).toEqual(['three', 'three'])

  const update = items.update('1', (draft) => void (draft.name = 'eins'))
  expect(items.get('1')?.name).toBe('eins')
  await update.isPersisted.promise
  expect(rows.current.get('1')?.name).toBe('eins')

  const refused = items.update('1', (draft) => void (draft.name = 'forbidden'))
  expect(items.get('1')?.name).toBe('forbidden')
  await expect(refused.isPersisted.promise).rejects.toThrow('not this name')
  expect(items.get('1')?.name).toBe('eins')

  await items.delete('2').isPersisted.promise
  network.cut()
  await house.sql`insert into items values (4, 'over a cut')`
  await eventually('it goes on', () => items.has('4'))
  await house.sql`truncate items`
  await eventually('the truncate', () => items.size === 0)
  await items.utils.seen(await write('insert into items values ($1, $2)', ['5', 'five']))
  expect(items.get('5')?.name).toBe('five')
})
