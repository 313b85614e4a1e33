/** The dialogs that are open, the topmost last: all else is inert as long as there is one. */
let layers: readonly HTMLElement[] = []
const listeners = new Set<() => void>()

function put(next: readonly HTMLElement[]) {
  layers = next
  for (const listener of listeners) listener()
}

export function opened(layer: HTMLElement): () => void {
  put([...layers, layer])
  return () => put(layers.filter((other) => other !== layer))
}

export const topLayer = (): HTMLElement | null => layers.at(-1) ?? null

export function subscribeToLayers(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}
