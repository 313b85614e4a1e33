export default function NotificationsPage(_: Record<string, unknown>) { return null }
