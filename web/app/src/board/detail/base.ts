import type { Entry, FullEntry } from '../../api/tables'

/**
 * The version that a text is written on which began as `base`. What one did oneself meanwhile has made another one of the
 * card, and left the text as it was; where the text is another, `full` is the last that had it, and the server refuses.
 */
export function versionOn(base: string, field: 'title' | 'body', now: Entry & Partial<FullEntry>, full: FullEntry): number {
  return now[field] === base ? Math.max(now.version, full.version) : full.version
}
