export default function BoardsPage(_: Record<string, unknown>) { return null }
