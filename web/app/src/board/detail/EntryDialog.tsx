export default function EntryDialog(_: Record<string, unknown>) { return null }
