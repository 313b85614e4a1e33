export default function ActivityPage(_: Record<string, unknown>) { return null }
