/** What the server says of the page: how people sign in, who else serves it, whether it is the demo. */

export interface LoginSettings {
  issuer: string
  client_id: string
  scope: string
  resource: string | null
}

export interface PageSettings {
  login: LoginSettings | null
  demo: { control: string } | null
  servers: string[]
  application: boolean
}

const KEPT = 'tidegate.page'

/** What it said last time: with it a reload shows content before anything was asked. */
export function keptPage(): PageSettings | null {
  try {
    const text = sessionStorage.getItem(KEPT)
    return text ? JSON.parse(text) as PageSettings : null
  } catch {
    return null
  }
}

export async function fetchPage(): Promise<PageSettings> {
  const response = await fetch('/page.json', { headers: { accept: 'application/json' } })
  if (!isJson(response)) throw new Error(`The server answers ${response.status}`)
  const told = await response.json() as Partial<PageSettings>
  const page = { login: null, demo: null, application: true, ...told, servers: told.servers?.length ? told.servers : [location.host] }
  sessionStorage.setItem(KEPT, JSON.stringify(page))
  return page
}

function isJson(response: Response): boolean {
  return response.ok && (response.headers.get('content-type') ?? '').includes('json')
}
