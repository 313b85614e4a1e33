// A PostgreSQL cluster for all tests: that of `tidegate demo`, with nobody at work in it. Each file has databases of its own.

import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { program } from './program.js'

declare module 'vitest' {
  interface ProvidedContext {
    cluster: string
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const scratch = await mkdtemp(join(tmpdir(), 'tidegate-client-'))
  const demo = spawn(program, ['demo', '--port', '0', '--rate', '0', '--folder', join(scratch, 'demo')], { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  const url = await new Promise<string>((resolve, reject) => {
    const hear = (piece: Buffer) => {
      said += piece.toString()
      const found = /Its database:\s+(postgres\S+)/.exec(said)
      if (found) resolve(found[1]!)
    }
    demo.stdout.on('data', hear)
    demo.stderr.on('data', hear)
    demo.once('exit', (code) => reject(new Error(`the demo ended with ${code}:\n${said}`)))
  })
  project.provide('cluster', url)
  return async () => {
    const ended = new Promise((resolve) => demo.once('exit', resolve))
    demo.kill('SIGINT')
    await ended
    await rm(scratch, { recursive: true, force: true })
  }
}
