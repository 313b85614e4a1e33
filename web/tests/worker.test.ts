import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { build } from 'esbuild'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from './hand.js'
import { Stage } from './stage.js'

let stage: Stage
let site: Server
let address: string

/** What a worker of a page of one's own does: it follows the boards, and says how many there are. */
const source = (server: string) => `
  import { Tidegate } from '@tidegate/client'
  const tide = new Tidegate('${server}/v1/socket')
  tide.rows('public.boards').subscribe((rows) => postMessage([...rows.values()].map(({ name }) => name).sort()))
`

beforeAll(async () => {
  stage = await Stage.open({ login: false })
  const { outputFiles } = await build({ stdin: { contents: source(stage.url), resolveDir: import.meta.dirname }, bundle: true, format: 'esm', write: false })
  const files: Record<string, [string, string]> = {
    '/': ['text/html', '<title>A page of one’s own</title>'],
    '/worker.js': ['text/javascript', outputFiles[0]!.text],
  }
  site = createServer(({ url = '/' }, response) => {
    const [type, text] = files[url] ?? ['text/plain', '']
    response.writeHead(200, { 'content-type': `${type}; charset=utf-8` }).end(text)
  })
  site.listen(0, '127.0.0.1')
  await once(site, 'listening')
  const at = site.address()
  address = `http://127.0.0.1:${typeof at === 'object' && at ? at.port : 0}`
})
afterAll(async () => {
  site.close()
  await stage[Symbol.asyncDispose]()
})

test('in a worker of another page, on another origin of this machine', async () => {
  const page = await (await stage.window()).newPage()
  await page.goto(address)
  const heard: string[][] = []
  await page.exposeFunction('hear', (names: string[]) => heard.push(names))
  await page.evaluate(() => {
    const worker = new Worker('/worker.js', { type: 'module' })
    worker.onmessage = ({ data }) => (window as unknown as { hear(names: string[]): void }).hear(data as string[])
  })
  await eventually(() => expect(heard.at(-1)).toEqual(['Ferry app', 'Harbour sensors', 'Port website']))
  await stage.sql`insert into public.boards (name) values ('From SQL')`
  await eventually(() => expect(heard.at(-1)).toContain('From SQL'))
})
