import { plain, sentence, type Names } from '../activity/sentences'
import type { Activity, Notification } from '../api/tables'
import { type Definitions, titleOf } from '../dashboard/kpis'
import { amount } from '../dashboard/units'

/** What one is told, as a sentence; `actor` is who did it. */
export interface Told {
  actor: string | null
  text: string
  quote?: string
}

export function told({ kind, detail, ...notification }: Notification, names: Names, definitions: Definitions): Told {
  const actor = typeof detail['actor_id'] === 'string' ? detail['actor_id'] : null
  const title = typeof detail['title'] === 'string' ? detail['title'] : ''
  switch (kind) {
    case 'mention':
      return { actor, text: 'mentioned you', ...(typeof detail['text'] === 'string' && { quote: detail['text'] }) }
    case 'assigned':
      return { actor, text: `gave you ${title}` }
    case 'watch':
      return { actor, text: plain(sentence(asActivity(notification, detail, actor), names)) }
    case 'overdue':
      return { actor: null, text: `${title} is overdue` }
    case 'kpi': {
      const kpi = String(detail['kpi'] ?? '')
      const unit = definitions.get(kpi)?.unit ?? 'number'
      const comparison = detail['comparison'] === 'below' ? 'below' : 'above'
      const [value, threshold] = [amount(Number(detail['value'] ?? 0), unit), amount(Number(detail['threshold'] ?? 0), unit)]
      return { actor: null, text: `${titleOf(definitions, kpi)} is ${value}, ${comparison} ${threshold}` }
    }
    default:
      return { actor, text: [title, kind.replaceAll('_', ' ')].filter(Boolean).join(': ') }
  }
}

/** A watch's detail is that of the activity which it is about. */
function asActivity({ id, board_id, entry_id, created_at }: Omit<Notification, 'kind' | 'detail'>, detail: Record<string, unknown>, actor: string | null): Activity {
  const action = String(detail['action'] ?? '')
  return { id, board_id: board_id ?? '', at: created_at, actor_id: actor, subject: action === 'commented' || 'text' in detail ? 'comment' : 'entry', action, entry_id, detail }
}
