/**
 * How far a command is whose outcome the screen shows already.
 *
 *   sending ──accepted──▶ settling ──seen──▶ settled: the stream shows it by itself
 *    ▲   └──unreachable──▶ waiting            ▲
 *    └────────retry──────────┘     expired────┘ (done, but the stream is late)
 *   sending, waiting ──refused──▶ refused: rolled back
 */
export type Phase = 'sending' | 'waiting' | 'settling' | 'settled' | 'refused'
export type Turn = 'unreachable' | 'retry' | 'accepted' | 'refused' | 'seen' | 'expired'

const TURNS: Record<Phase, Partial<Record<Turn, Phase>>> = {
  sending: { unreachable: 'waiting', accepted: 'settling', refused: 'refused' },
  waiting: { retry: 'sending', accepted: 'settling', refused: 'refused' },
  settling: { seen: 'settled', expired: 'settled' },
  settled: {},
  refused: {},
}

export function next(phase: Phase, turn: Turn): Phase {
  return TURNS[phase][turn] ?? phase
}

/** Whether what it shows is taken off the screen: what is below it is the truth then. */
export function isOver(phase: Phase): boolean {
  return phase === 'settled' || phase === 'refused'
}
