import { useRows } from '@tidegate/client/react'
import { useMemo } from 'react'
import type { Category } from '../api/tables'
import { usePeople, useWorkspace } from '../api/workspace'
import type { Names } from './sentences'

export function useNames(): Names {
  const { tide } = useWorkspace()
  const people = usePeople()
  const { rows: categories } = useRows(tide.rows<Category>('public.categories'))
  return useMemo(
    () => ({
      person: (id) => people.get(id)?.name ?? id,
      category: (id) => categories.get(id)?.name ?? 'a category',
    }),
    [people, categories],
  )
}
