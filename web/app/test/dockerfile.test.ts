import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, expect, it } from 'vitest'

const root = join(import.meta.dirname, '../../..')
let folder: string
afterEach(() => rm(folder, { recursive: true, force: true }))

const isModule = (source: string) => basename(source) === 'node_modules' || basename(source) === 'dist'

/** The first stage's `COPY` lines: as Docker does it, without what `.dockerignore` leaves out. */
async function copyAs(dockerfile: string, to: string): Promise<void> {
  const [, stage = ''] = dockerfile.split(/^FROM /m)
  for (const [, words = ''] of stage.matchAll(/^COPY (.+)$/gm)) {
    const places = words.split(/\s+/)
    const target = places.pop() ?? '.'
    for (const place of places) {
      const from = join(root, place)
      const into = (await stat(from)).isDirectory() ? join(to, target) : join(to, target, basename(place))
      await cp(from, into, { recursive: true, filter: (source) => source === from || !isModule(source) })
    }
  }
}

/** What `npm ci` would put there: the packages that are here, and of our own the copies. */
async function install(to: string): Promise<void> {
  const [here, there] = [join(root, 'web/node_modules'), join(to, 'node_modules')]
  await mkdir(join(there, '@tidegate'), { recursive: true })
  for (const name of await readdir(here)) if (name !== '@tidegate' && !name.startsWith('tidegate-')) await symlink(join(here, name), join(there, name))
  await symlink(join(to, 'client'), join(there, '@tidegate/client'))
}

// The bound is for a machine that is busy otherwise; alone it takes a few seconds.
it('what the Dockerfile copies is enough to build the page from', { timeout: 120_000 }, async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidegate-page-'))
  await copyAs(await readFile(join(root, 'Dockerfile'), 'utf8'), folder)
  await install(folder)
  const refused = await promisify(execFile)('npm', ['run', 'build'], { cwd: folder }).then(() => '', ({ stdout, stderr }: { stdout: string; stderr: string }) => stdout + stderr)
  expect(refused).toBe('')
  expect(await readdir(join(folder, 'app/dist'))).toContain('index.html')
})
