import { useState } from 'react'
import { changeCategory, createCategory, deleteCategory } from '../../api/commands'
import type { Category, Id } from '../../api/tables'
import { useCommand } from '../../api/workspace'
import { Icon } from '../../design/icons'
import { useCategories } from '../useBoard'

/** Steps of the golden angle: one after the other, and never alike. */
const hueAfter = (count: number) => Math.round(count * 137.5 + 205) % 360

export function Categories({ board, mayEdit }: { board: Id; mayEdit: boolean }) {
  const command = useCommand()
  const categories = [...useCategories(board).values()].sort((a, b) => a.name.localeCompare(b.name))
  const [name, setName] = useState('')
  if (!mayEdit && categories.length === 0) return null
  return (
    <section aria-labelledby="categories">
      <h3 id="categories">Categories</h3>
      <ul className="settings-list">
        {categories.map((category) => (
          <Row key={`${category.id} ${category.version}`} category={category} mayEdit={mayEdit} />
        ))}
      </ul>
      {mayEdit && (
        <form
          className="settings-add"
          onSubmit={(event) => {
            event.preventDefault()
            void command(createCategory(board, name.trim(), hueAfter(categories.length))).then((reply) => reply && setName(''))
          }}
        >
          <input className="input" aria-label="New category" placeholder="New category" maxLength={100} value={name} onChange={({ target }) => setName(target.value)} />
          <button type="submit" className="button" disabled={!name.trim()}>
            Add
          </button>
        </form>
      )}
    </section>
  )
}

function Row({ category: { id, name: kept, hue: keptHue }, mayEdit }: { category: Category; mayEdit: boolean }) {
  const command = useCommand()
  const [name, setName] = useState(kept)
  const [hue, setHue] = useState(keptHue)
  const save = () => {
    const changes = { ...(name.trim() && name.trim() !== kept && { name: name.trim() }), ...(hue !== keptHue && { hue }) }
    if (Object.keys(changes).length > 0) void command(changeCategory(id, changes))
  }
  return (
    <li data-category={id}>
      <span className="nav-square" style={{ '--hue': hue }} aria-hidden="true" />
      <input className="input settings-name" aria-label="Category name" disabled={!mayEdit} maxLength={100} value={name} onChange={({ target }) => setName(target.value)} onBlur={save} onKeyDown={(event) => event.key === 'Enter' && save()} />
      <input className="range settings-hue" type="range" min={0} max={359} aria-label={`Colour of ${kept}`} disabled={!mayEdit} value={hue} onChange={({ target }) => setHue(Number(target.value))} onPointerUp={save} onKeyUp={save} />
      {mayEdit && (
        <button type="button" className="button" data-kind="quiet" data-icon="" aria-label={`Delete ${kept}`} onClick={() => void command(deleteCategory(id))}>
          <Icon name="close" size={16} />
        </button>
      )}
    </li>
  )
}
