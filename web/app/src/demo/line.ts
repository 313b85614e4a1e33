import { createContext } from 'react'

/** A network of the page's own, which can be cut without anybody else noticing. */
export interface Lines {
  /** Its addresses, one a server, once there is one. */
  own: readonly string[] | null
  take: (addresses: readonly string[] | null) => void
}

export const LineContext = createContext<Lines>({ own: null, take: () => undefined })
