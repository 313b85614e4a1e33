/** What a command or a read was refused with (RFC 9457), and how that is told to people. */

interface FieldFault {
  field: string
  message: string
}

interface Body {
  code?: string
  detail?: string
  title?: string
  errors?: FieldFault[]
  current?: unknown
}

export class Problem extends Error {
  readonly code: string
  readonly errors: readonly FieldFault[]
  readonly current: unknown

  constructor(
    readonly status: number,
    body: Body,
    readonly retryAfterMs?: number,
  ) {
    super(body.detail ?? body.title ?? `The server answers ${status}`)
    this.code = body.code ?? 'internal'
    this.errors = body.errors ?? []
    this.current = body.current
  }

  /** Whether the same may succeed in a moment. */
  get passes(): boolean {
    return this.status === 503 || this.status === 429
  }

  static of({ status, headers, body }: { status: number; headers: Headers; body: unknown }): Problem {
    const after = Number(headers.get('retry-after'))
    return new Problem(status, (body ?? {}) as Body, after > 0 ? after * 1_000 : undefined)
  }
}

/** Nothing came back: whether it was done nobody knows. */
export class Unreachable extends Error {
  constructor(cause: unknown) {
    super('The server cannot be reached', { cause })
  }
}

/** Whether it may have been done all the same. Of what was too contended it is known that it was not. */
export function isOpen(error: unknown): boolean {
  return error instanceof Unreachable || (error instanceof Problem && error.status >= 500 && error.code !== 'contention')
}

const FIELDS: Record<string, string> = {
  body: 'a description',
  labels: 'a label',
  category_id: 'a category',
  assignee_id: 'an assignee',
  due_at: 'a due date',
}

const WORDS: Record<string, string> = {
  no_user: 'Nobody is signed in here.',
  forbidden: 'Your role on this board does not allow that.',
  not_found: 'It is not there any more.',
  stale_version: 'Somebody changed it a moment ago. Have another look.',
  no_transition: 'The workflow has no way there.',
  wip_limit: 'That column is full.',
  last_admin: 'A board needs an admin.',
  name_taken: 'That name is taken.',
  limit_reached: 'There are as many as there may be.',
  in_use: 'There are still cards in it.',
  too_large: 'That is too large.',
  contention: 'Too many people were changing this. Try again.',
  unavailable: 'The database cannot be reached right now. Nobody knows whether that was done.',
  rate_limited: 'That was too fast. Wait a moment.',
  unauthenticated: 'Your sign-in has ended.',
}

/** One sentence for people. */
export function inWords(error: unknown): string {
  if (error instanceof Unreachable) return 'Nobody knows whether that was done. Look again when the line is back.'
  if (!(error instanceof Problem)) return error instanceof Error ? error.message : 'That did not work.'
  if (error.code === 'transition_refused' && error.errors.length > 0) {
    const needs = error.errors.map(({ field }) => FIELDS[field] ?? field)
    return `It needs ${list(needs)} first.`
  }
  if (error.code === 'transition_refused') return 'This card may not go that way yet.'
  const fault = error.errors[0]
  if (error.code === 'invalid_input' && fault) return `${label(fault.field)} ${fault.message}.`
  return WORDS[error.code] ?? error.message
}

function label(field: string): string {
  const words = field.replace(/_(id|at)$/, '').replaceAll('_', ' ')
  return words.charAt(0).toUpperCase() + words.slice(1)
}

export function list(words: readonly string[]): string {
  return new Intl.ListFormat('en', { type: 'conjunction' }).format(words)
}
