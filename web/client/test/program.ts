import { fileURLToPath } from 'node:url'

/** The server's program: the debug build of this checkout, or that of `TIDEGATE_PROGRAM`. */
export const program = process.env.TIDEGATE_PROGRAM ?? fileURLToPath(new URL('../../../target/debug/tidegate', import.meta.url))
