import { useBoards } from '../api/workspace'

/** One of one's boards, or all of them together. */
export function BoardPicker({ board, onBoard }: { board: string | null; onBoard: (board: string | null) => void }) {
  const { rows } = useBoards()
  if (rows.size < 2) return null
  const boards = [...rows.values()].sort((a, b) => a.name.localeCompare(b.name))
  return (
    <label className="picker">
      <span className="unseen">Board</span>
      <select className="input" value={board ?? ''} onChange={({ target }) => onBoard(target.value || null)}>
        <option value="">All boards</option>
        {boards.map(({ id, name }) => (
          <option key={id} value={id}>
            {name}
          </option>
        ))}
      </select>
    </label>
  )
}
