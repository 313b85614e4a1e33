/** The role that an access token names, as far as a page can read it; the server alone judges. */
export function roleOf(token: string): string | null {
  const [, payload] = token.split('.')
  if (!payload) return null
  try {
    const claims = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/'))) as Record<string, unknown>
    return typeof claims['role'] === 'string' ? claims['role'] : null
  } catch {
    // Tokens need not be readable.
    return null
  }
}
