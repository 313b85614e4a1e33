// Prints what the library costs a page, minified and compressed, and fails where it is more than it may be.
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { build } from 'esbuild'

/** What a page with live rows may pay, in bytes by gzip. */
const MOST = 8 * 1_024

const sources = { rows: ['index'], 'rows, persistence, tabs': ['index', 'persist', 'tabs'], 'all of it, and React': ['index', 'persist', 'tabs', 'react'] }

for (const [name, files] of Object.entries(sources)) {
  const contents = files.map((file) => `export * from './src/${file}.ts'`).join('\n')
  const options = { bundle: true, minify: true, format: 'esm', target: 'es2022', external: ['react'], write: false }
  const { outputFiles } = await build({ stdin: { contents, resolveDir: import.meta.dirname, loader: 'ts' }, ...options })
  const [{ contents: code }] = outputFiles
  const bytes = gzipSync(code, { level: 9 }).length
  console.log(`${name}: ${bytes} bytes by gzip, ${brotliCompressSync(code).length} by Brotli`)
  if (name === 'rows' && bytes > MOST) throw new Error(`${name}: more than ${MOST} bytes`)
}
