/**
 * Which of two moments is earlier, as a comparison for `sort`. They come as RFC 3339 in UTC, to the microsecond, with as many
 * digits as they need: `10:00:00Z` is before `10:00:00.5Z`, though not as a text.
 */
export function byMoment(a: string, b: string): number {
  const [one, other] = [sortable(a), sortable(b)]
  return one < other ? -1 : one > other ? 1 : 0
}

/** `2026-11-26T10:00:00`, and behind it all six digits of the fraction. */
const sortable = (at: string) => at.slice(0, 19) + at.slice(20, -1).padEnd(6, '0')
