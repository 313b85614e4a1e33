export default function MePage(_: Record<string, unknown>) { return null }
