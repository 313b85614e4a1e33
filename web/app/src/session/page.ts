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
  const page = await ask()
  sessionStorage.setItem(KEPT, JSON.stringify(page))
  return page
}

async function ask(): Promise<PageSettings> {
  const told = await fetch('/page.json', { headers: { accept: 'application/json' } })
  if (isJson(told)) {
    const page = await told.json() as Partial<PageSettings>
    return { login: null, demo: null, application: true, ...page, servers: page.servers?.length ? page.servers : [location.host] }
  }
  if (told.status >= 500) throw new Error(`The server answers ${told.status}`)
  // Servers from before it know how people sign in, and no more.
  const login = await fetch('/login.json', { headers: { accept: 'application/json' } })
  if (login.status >= 500) throw new Error(`The server answers ${login.status}`)
  return {
    login: isJson(login) ? await login.json() as LoginSettings | null : null,
    demo: null,
    servers: [location.host],
    application: true,
  }
}

function isJson(response: Response): boolean {
  return response.ok && (response.headers.get('content-type') ?? '').includes('json')
}
