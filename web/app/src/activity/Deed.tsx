import { memo } from 'react'
import { Link } from 'wouter'
import type { Activity } from '../api/tables'
import { clock } from '../design/texts'
import { type Names, type Part, sentence } from './sentences'

interface Props {
  activity: Activity
  names: Names
  /** By whom, where that stands nowhere else. */
  who?: string
  linked?: boolean
  as?: 'li' | 'div'
}

/** One thing that was done. */
export const Deed = memo(function Deed({ activity, names, who, linked = true, as: Element = 'li' }: Props) {
  return (
    <Element className="deed" data-activity={activity.id}>
      <p>
        {who && <b className="deed-who">{who} </b>}
        {sentence(activity, names).map((part, index) => (
          <Words key={index} part={part} board={activity.board_id} linked={linked} />
        ))}
      </p>
      <time dateTime={activity.at} title={new Date(activity.at).toLocaleString()}>
        {clock(activity.at)}
      </time>
    </Element>
  )
})

function Words({ part, board, linked }: { part: Part; board: string; linked: boolean }) {
  switch (part.kind) {
    case 'strong':
      return <strong>{part.text}</strong>
    case 'quote':
      return <q className="deed-quote">{part.text}</q>
    case 'card':
      if (part.entry && linked) {
        return (
          <Link href={`/boards/${board}/entries/${part.entry}`} className="deed-card">
            {part.text}
          </Link>
        )
      }
      return <span className={linked ? 'deed-card' : undefined}>{linked ? part.text : 'it'}</span>
    default:
      return part.text
  }
}
