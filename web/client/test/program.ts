import { join } from 'node:path'

/** The server's program: the debug build of this checkout, or that of `TIDEGATE_PROGRAM`. */
export const program = process.env.TIDEGATE_PROGRAM ?? join(import.meta.dirname, '../../../target/debug/tidegate')
