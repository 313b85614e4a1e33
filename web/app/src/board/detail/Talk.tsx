import { useRows } from '@tidegate/client/react'
import { useMemo, useState } from 'react'
import { createComment } from '../../api/commands'
import { Deed } from '../../activity/Deed'
import { useFeed } from '../../activity/useFeed'
import { useNames } from '../../activity/useNames'
import { byMoment } from '../../api/moments'
import type { Comment, Id, Member, User } from '../../api/tables'
import { useMaking, useWorkspace } from '../../api/workspace'
import { useWire } from '../../app/useWire'
import { Avatar } from '../../design/Avatar'
import { More } from '../../design/More'
import { CommentView } from './CommentView'
import { MentionField } from './MentionField'
import '../../activity/activity.css'

interface Props {
  board: Id
  entry: Id
  mayEdit: boolean
  isAdmin: boolean
  people: ReadonlyMap<string, User>
  members: ReadonlyMap<string, Member>
}

/** What is said about a card, and what was done to it. */
export function Talk({ board, entry, mayEdit, isAdmin, people, members }: Props) {
  const { tide } = useWorkspace()
  const [tab, setTab] = useState<'comments' | 'history'>('comments')
  const rows = tide.rows<Comment>('public.comments', { where: 'entry_id = $1', params: [entry] })
  const { rows: all } = useRows(rows)
  useWire(rows, 'comments')
  const comments = useMemo(() => [...all.values()].sort((a, b) => byMoment(a.created_at, b.created_at) || Number(a.id) - Number(b.id)), [all])
  const belonging = useMemo(() => [...members.values()].map(({ user_id }) => people.get(user_id)).filter((user) => user !== undefined), [members, people])
  return (
    <section className="talk" aria-label="Comments and history">
      <div className="tabs" role="tablist" aria-label="Comments and history">
        {(['comments', 'history'] as const).map((name) => (
          <button key={name} type="button" role="tab" id={`tab-${name}`} aria-selected={tab === name} aria-controls="talk" onClick={() => setTab(name)}>
            {name === 'comments' ? 'Comments' : 'History'}
            {name === 'comments' && comments.length > 0 && <span className="faint number">{comments.length}</span>}
          </button>
        ))}
      </div>
      <div id="talk" role="tabpanel" aria-labelledby={`tab-${tab}`}>
        {tab === 'comments' ? (
          <>
            <ol className="comments">
              {comments.map((comment) => (
                <CommentView key={comment.id} comment={comment} author={comment.author_id ? people.get(comment.author_id) : undefined} people={belonging} mayEdit={mayEdit} isAdmin={isAdmin} />
              ))}
            </ol>
            {comments.length === 0 && !mayEdit && <p className="faint">No comments</p>}
            {mayEdit && <NewComment entry={entry} people={belonging} all={people} />}
          </>
        ) : (
          <History board={board} entry={entry} people={people} />
        )}
      </div>
    </section>
  )
}

function NewComment({ entry, people, all }: { entry: Id; people: readonly User[]; all: ReadonlyMap<string, User> }) {
  const { person } = useWorkspace()
  const make = useMaking()
  const [text, setText] = useState('')
  const [busy, setBusy] = useState(false)
  const say = async () => {
    const words = text.trim()
    if (!words || busy) return
    setBusy(true)
    const reply = await make(words, () => createComment(entry, words))
    setBusy(false)
    // What was refused stays, and so does what was typed meanwhile.
    if (reply) setText((now) => (now.trim() === words ? '' : now))
  }
  return (
    <form
      className="new-comment"
      data-draft={(text.trim() !== '' && !busy) || undefined}
      onSubmit={(event) => {
        event.preventDefault()
        void say()
      }}
    >
      <Avatar user={person ? all.get(person.id) : undefined} size={28} silent />
      <div>
        <MentionField label="Comment" placeholder="Say something, @ for somebody" value={text} onChange={setText} onSubmit={() => void say()} people={people} />
        {text.trim() && (
          <button type="submit" className="button" data-kind="loud" disabled={busy}>
            Comment
          </button>
        )}
      </div>
    </form>
  )
}

function History({ board, entry, people }: { board: Id; entry: Id; people: ReadonlyMap<string, User> }) {
  const names = useNames()
  const { rows: activities, more, ...paging } = useFeed(board, entry)
  return (
    <>
      <ol className="history">
        {activities.map((activity) => {
          const user = activity.actor_id ? people.get(activity.actor_id) : undefined
          return (
            <li key={activity.id} className="history-item">
              <Avatar user={user} size={22} silent />
              <span className="history-who">{user?.name ?? 'Somebody'}</span>
              <ul>
                <Deed activity={activity} names={names} linked={false} />
              </ul>
            </li>
          )
        })}
      </ol>
      {activities.length > 0 && more && <More {...paging} />}
    </>
  )
}
