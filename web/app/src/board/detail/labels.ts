/** One label put on or taken off: what one means, whatever else is on the card by then. */
export type LabelChange = { add: string } | { remove: string }

export function relabelled(labels: readonly string[], change: LabelChange): string[] {
  if ('remove' in change) return labels.filter((label) => label !== change.remove)
  return labels.includes(change.add) ? [...labels] : [...labels, change.add]
}
