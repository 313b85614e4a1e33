/** The demo's control: see `tidegate demo`. */

export interface Demo {
  pace: number
  max_pace: number
  servers: { address: string; alive: boolean; pid: number | null; restarts: number }[]
}

export interface Network {
  id: string
  addresses: string[]
  up: boolean
}

async function ask<T>(url: string, method = 'GET', body?: unknown): Promise<T> {
  const answer = await fetch(url, { method, ...(body !== undefined && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }) })
  if (!answer.ok) throw new Error(`The demo answers ${answer.status}`)
  const text = await answer.text()
  return (text ? JSON.parse(text) : null) as T
}

/** The page has one network at most, whether or not its panel is open. */
let network: Network | null = null

export const control = {
  get network(): Network | null {
    return network
  },

  look: (address: string) => ask<Demo>(`${address}/`),
  pace: (address: string, perSecond: number) => ask(`${address}/pace`, 'PUT', { per_second: perSecond }),
  kill: (address: string, server: number) => ask(`${address}/servers/${server}/kill`, 'POST', {}),

  async open(address: string): Promise<Network> {
    const { id, addresses } = await ask<{ id: string | number; addresses: string[] }>(`${address}/lines`, 'POST', {})
    // It goes with the page.
    addEventListener('pagehide', () => void fetch(`${address}/lines/${encodeURIComponent(id)}`, { method: 'DELETE', keepalive: true }), { once: true })
    return (network = { id: String(id), addresses, up: true })
  },

  async set(address: string, of: Network, up: boolean): Promise<Network> {
    await ask(`${address}/lines/${encodeURIComponent(of.id)}`, 'PUT', { up })
    return (network = { ...of, up })
  },
}
