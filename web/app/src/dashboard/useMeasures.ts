import { useRows } from '@tidegate/client/react'
import { useMemo } from 'react'
import { type Counted, type Definition, DEFINITION_COLUMNS, type Id, type Kpi } from '../api/tables'
import { useWorkspace } from '../api/workspace'
import type { Definitions } from './kpis'

/** What is measured, by name. */
export function useDefinitions(): Definitions {
  const { tide } = useWorkspace()
  return useRows(tide.rows<Definition>('public.kpis', { columns: DEFINITION_COLUMNS })).rows
}

/** What each measure comes to now, as a whole. */
export function useValues(): ReadonlyMap<string, Kpi> {
  const { tide } = useWorkspace()
  return useRows(tide.rows<Kpi>('public.kpi_values', { where: "item = ''", delivery: 'latest', intervalMs: 250 })).rows
}

/** Where such a value is found. */
export const valueKey = (board: Id, kpi: string): string => JSON.stringify([board, kpi, ''])

/** What a measure of a board comes to now, by its parts: those that it has no value of are not there. */
export function useNow(board: Id, kpi: string): ReadonlyMap<string, number> {
  const { tide } = useWorkspace()
  const { rows } = useRows(tide.rows<Kpi>('public.kpi_values', { where: 'board_id = $1 AND kpi = $2', params: [board, kpi], delivery: 'latest', intervalMs: 250 }))
  return useMemo(() => new Map([...rows.values()].map(({ item, value }) => [item, Number(value)])), [rows])
}

/** When each board was counted last: that is when its charts are worth another look. */
export function useCounted(): ReadonlyMap<Id, Counted> {
  const { tide } = useWorkspace()
  return useRows(tide.rows<Counted>('public.kpi_boards', { delivery: 'latest', intervalMs: 500 })).rows
}
