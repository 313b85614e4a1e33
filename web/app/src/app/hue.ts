/** Boards have no colour of their own; their numbers give them one that stays. */
export const hueOf = (board: string): number => (Number(board) * 137.5 + 75) % 360
