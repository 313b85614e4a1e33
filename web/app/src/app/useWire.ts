import type { Rows } from '@tidegate/client'
import { useEffect } from 'react'
import { useWorkspace } from '../api/workspace'

/** Lets the wire's panel know of what comes for these rows. */
export function useWire<R extends object>(rows: Rows<R>, table: string): void {
  const { wire } = useWorkspace()
  useEffect(() => wire.follow(rows, table), [wire, rows, table])
}
