// What a test lives in: a database of its own, servers in front of it, and a network that can be cut.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type Server as NetServer, type Socket } from 'node:net'
import postgres, { type Sql } from 'postgres'
import { inject } from 'vitest'
import WebSocket from 'ws'
import { type Options, Tidegate } from '../src/index.js'
import { program } from './program.js'

let count = 0

/** A database of its own, with this schema, dropped at the end. */
export class House {
  readonly #leaving: (() => unknown)[] = []
  readonly #name: string
  readonly sql: Sql
  readonly url: string

  private constructor(url: URL, name: string) {
    url.pathname = `/${name}`
    this.url = url.href
    this.#name = name
    this.sql = postgres(this.url, { max: 4, onnotice: () => {}, types: { bigint: postgres.BigInt } })
  }

  static async found(schema: string): Promise<House> {
    const url = new URL(inject('cluster'))
    const name = `house_${process.pid}_${++count}`
    await administer(`create database ${name}`)
    const house = new House(url, name)
    await house.sql.unsafe(schema)
    return house
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const leave of this.#leaving.reverse()) await leave()
    await this.sql.end()
    await administer(`drop database if exists ${this.#name} with (force)`)
  }

  /** A server in front of it. */
  async serve(settings: Record<string, string> = {}): Promise<Server> {
    const server = new Server(this, { ...settings, 'postgres.slot': this.#name, 'postgres.publication': this.#name })
    this.#leaving.push(async () => {
      await server.stop()
      await this.sql`select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = ${this.#name} and not active`
    })
    await server.start()
    return server
  }

  /** A network in front of `server`. */
  async network(server: Server): Promise<Network> {
    const network = new Network(server)
    await network.open()
    this.#leaving.push(() => network.close())
    return network
  }

  /** A client of whatever has an address. */
  client(place: { readonly address: string }, options: Options = {}): Tidegate {
    const tide = new Tidegate(`ws://${place.address}/v1/socket`, { webSocket: WebSocket as never, ...options })
    this.#leaving.push(() => tide.close())
    return tide
  }
}

async function administer(command: string): Promise<void> {
  const sql = postgres(inject('cluster'), { max: 1, onnotice: () => {} })
  await sql.unsafe(command)
  await sql.end()
}

export class Server {
  address = ''
  #child: ChildProcess | undefined
  #log = ''

  constructor(
    private readonly house: House,
    private readonly settings: Record<string, string>,
  ) {}

  /** Starts it, at the address that it had. */
  async start(): Promise<void> {
    this.address ||= `127.0.0.1:${await freePort()}`
    const settings = { 'postgres.url': this.house.url, 'http.listen': this.address, 'limits.loopback': 'false', ...this.settings }
    const child = spawn(program, ['serve', ...Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`])])
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece: Buffer) => (this.#log = (this.#log + piece.toString()).slice(-20_000)))
    for (;;) {
      if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}:\n${this.#log}`)
      const ready = await fetch(`http://${this.address}/readyz`).then(({ ok }) => ok, () => false)
      if (ready) return
      await pause(50)
    }
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill(signal)
    await ended
  }
}

/** A way to a server that can be cut, and that can die without a word. */
export class Network {
  address = ''
  readonly #server: NetServer
  readonly #pairs = new Set<[Socket, Socket]>()
  #dead = false
  /** Answers every upgrade to a WebSocket with 400, as some proxies do. */
  breaksUpgrades = false
  /** How long what the server says is on its way. */
  delayMs = 0

  constructor(server: Server) {
    this.#server = createServer((near) => {
      const [host, port] = server.address.split(':')
      const far = connect(Number(port), host)
      const pair: [Socket, Socket] = [near, far]
      this.#pairs.add(pair)
      const over = () => {
        this.#pairs.delete(pair)
        near.destroy()
        far.destroy()
      }
      for (const socket of pair) socket.on('error', over).on('close', over)
      near.on('data', (data) => {
        if (this.#dead) return
        if (this.breaksUpgrades && /^upgrade: websocket/im.test(data.toString())) near.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n')
        else far.write(data)
      })
      far.on('data', (data) => {
        if (this.#dead) return
        if (this.delayMs === 0) near.write(data)
        else setTimeout(() => this.#dead || near.destroyed || near.write(data), this.delayMs)
      })
    })
  }

  async open(): Promise<void> {
    this.#server.listen(this.address === '' ? 0 : Number(this.address.split(':')[1]), '127.0.0.1')
    await once(this.#server, 'listening')
    const at = this.#server.address()
    this.address = `127.0.0.1:${typeof at === 'object' && at ? at.port : 0}`
  }

  get connections(): number {
    return this.#pairs.size
  }

  /** Resets all connections. */
  cut(): void {
    for (const [near] of this.#pairs) near.resetAndDestroy()
  }

  /** From now on nothing passes, and nobody is told. */
  die(): void {
    this.#dead = true
  }

  /** Nothing passes any more on the connections that there are. */
  deafen(): void {
    for (const [near, far] of this.#pairs) for (const socket of [near, far]) socket.removeAllListeners('data').pause()
  }

  /** It is there again, for those who come anew. */
  revive(): void {
    this.#dead = false
    this.cut()
  }

  /** Refuses those who come, and cuts those who are there. */
  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.cut()
    await closed
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const at = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof at === 'object' && at ? at.port : 0
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Waits until `look` gives something that is not undefined, null or false. */
export async function eventually<T>(what: string, look: () => T | Promise<T>, withinMs = 15_000): Promise<Exclude<NonNullable<T>, false>> {
  const until = Date.now() + withinMs
  for (;;) {
    const seen = await look()
    if (seen !== undefined && seen !== null && seen !== false) return seen as Exclude<NonNullable<T>, false>
    if (Date.now() > until) throw new Error(`not within ${withinMs} ms: ${what}`)
    await pause(10)
  }
}
