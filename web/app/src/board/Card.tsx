import { useDraggable } from '@dnd-kit/core'
import { memo, useCallback } from 'react'
import { Link } from 'wouter'
import type { Category, User } from '../api/tables'
import { Avatar } from '../design/Avatar'
import { Icon } from '../design/icons'
import { due } from '../design/texts'
import type { Card as Row } from './columns'
import type { Glide } from './glide'

interface FaceProps {
  card: Row
  assignee: User | undefined
  category: Category | undefined
  comments: number
  closed: boolean
}

/** What is on a card. */
const Face = memo(function Face({ card, assignee, category, comments, closed }: FaceProps) {
  const date = card.due_at ? due(card.due_at, closed) : null
  const hasFoot = card.priority !== 1 || date || comments > 0 || card.assignee_id
  return (
    <>
      {(category || card.labels.length > 0) && (
        <div className="card-tags">
          {category && (
            <span className="tag" data-hue="" style={{ '--hue': category.hue }}>
              {category.name}
            </span>
          )}
          {card.labels.map((label) => (
            <span className="tag" key={label}>
              {label}
            </span>
          ))}
        </div>
      )}
      {hasFoot && (
        <div className="card-foot">
          {card.priority === 2 && (
            <span className="card-urgent">
              <Icon name="bolt" size={13} />
              Urgent
            </span>
          )}
          {card.priority === 0 && (
            <span className="card-low">
              <Icon name="down" size={13} />
              Low
            </span>
          )}
          {date && (
            <time className="card-due" data-tone={date.tone} dateTime={card.due_at ?? undefined}>
              <Icon name="clock" size={13} />
              {date.text}
            </time>
          )}
          {comments > 0 && (
            <span className="card-comments" aria-label={`${comments} comments`} role="img">
              <Icon name="comment" size={13} />
              {comments}
            </span>
          )}
          {card.assignee_id && <Avatar user={assignee} size={22} />}
        </div>
      )}
    </>
  )
})

interface Props extends FaceProps {
  glide: Glide
  movable: boolean
}

export const Card = memo(function Card({ glide, movable, ...face }: Props) {
  const { card, closed } = face
  const { setNodeRef, setActivatorNodeRef, listeners, attributes, isDragging } = useDraggable({ id: card.id, disabled: !movable })
  const hold = useCallback(
    (element: HTMLElement | null) => {
      setNodeRef(element)
      glide.hold(card.id, element)
    },
    [setNodeRef, glide, card.id],
  )
  return (
    <article ref={hold} className="card" data-entry={card.id} data-phase={card.phase} data-closed={closed || undefined} data-lifted={isDragging || undefined} data-movable={movable || undefined} {...(movable && listeners)}>
      <h3 className="card-title">
        <Link
          ref={setActivatorNodeRef}
          href={`/boards/${card.board_id}/entries/${card.id}`}
          draggable={false}
          {...(movable && { 'aria-describedby': attributes['aria-describedby'] })}
        >
          {card.title}
        </Link>
      </h3>
      <Face {...face} />
    </article>
  )
})

/** The card in the hand of whoever drags it. */
export function CardInHand(face: FaceProps) {
  return (
    <div className="card card-held" aria-hidden="true">
      <p className="card-title">{face.card.title}</p>
      <Face {...face} />
    </div>
  )
}
