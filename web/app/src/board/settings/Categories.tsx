import { useState } from 'react'
import { changeCategory, createCategory, deleteCategory } from '../../api/commands'
import type { Category, Id } from '../../api/tables'
import { useCommand } from '../../api/workspace'
import { Icon } from '../../design/icons'
import { useCategories } from '../useBoard'
import { useField } from './useField'

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
          <Row key={category.id} category={category} mayEdit={mayEdit} />
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
  const name = useField(kept, (words) => command(changeCategory(id, { name: words })))
  const hue = useField(String(keptHue), (hue) => command(changeCategory(id, { hue: Number(hue) })))
  return (
    <li data-category={id}>
      <span className="nav-square" style={{ '--hue': Number(hue.value) }} aria-hidden="true" />
      <input className="input settings-name" aria-label="Category name" disabled={!mayEdit} maxLength={100} {...name} />
      <input className="range settings-hue" type="range" min={0} max={359} aria-label={`Colour of ${kept}`} disabled={!mayEdit} {...hue} onPointerUp={hue.onBlur} onKeyUp={hue.onBlur} />
      {mayEdit && (
        <button type="button" className="button" data-kind="quiet" data-icon="" aria-label={`Delete ${kept}`} onClick={() => void command(deleteCategory(id))}>
          <Icon name="close" size={16} />
        </button>
      )}
    </li>
  )
}
