import { useId } from 'react'

interface Props<T> {
  label: string
  value: T
  choices: readonly { value: T; name: string }[]
  onChoice: (value: T) => void
}

/** One of a few. */
export function Choice<T extends string | number>({ label, value, choices, onChoice }: Props<T>) {
  const group = useId()
  return (
    <div className="choice" role="radiogroup" aria-label={label}>
      {choices.map((choice) => (
        <label key={choice.value}>
          <input type="radio" name={group} checked={choice.value === value} onChange={() => onChoice(choice.value)} />
          <span>{choice.name}</span>
        </label>
      ))}
    </div>
  )
}
