// Prints what the library costs a page, minified and compressed, and fails where it is more than it may be.
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { build } from 'esbuild'

/** All of the library but the adapters, in bytes. */
const MOST = 8 * 1_024

const entries = {
  'rows over WebSocket and SSE': 'export { Tidegate } from "./src/index.ts"',
  '… and persistence, and tabs': 'export * from "./src/index.ts"; export * from "./src/persist.ts"; export * from "./src/tabs.ts"',
  '… and React': 'export * from "./src/index.ts"; export * from "./src/persist.ts"; export * from "./src/tabs.ts"; export * from "./src/react.ts"',
}

for (const [name, contents] of Object.entries(entries)) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: import.meta.dirname, loader: 'ts' },
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    external: ['react'],
    write: false,
  })
  const [{ contents: code }] = outputFiles
  const bytes = gzipSync(code, { level: 9 }).length
  console.log(brotliCompressSync(code).length, code.length)
  console.log(`${String(bytes).padStart(6)} bytes  ${name}`)
  if (bytes > MOST) process.exitCode = 1
}
