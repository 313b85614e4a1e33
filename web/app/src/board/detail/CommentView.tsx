import { memo, useState } from 'react'
import { changeComment, deleteComment } from '../../api/commands'
import type { Comment, User } from '../../api/tables'
import { useCommand, useWorkspace } from '../../api/workspace'
import { Avatar } from '../../design/Avatar'
import { Icon } from '../../design/icons'
import { Menu } from '../../design/Menu'
import { ago } from '../../design/texts'
import { MentionField } from './MentionField'
import { pieces } from './mentions'

interface Props {
  comment: Comment
  author: User | undefined
  people: readonly User[]
  mayEdit: boolean
  isAdmin: boolean
}

export const CommentView = memo(function CommentView({ comment, author, people, mayEdit, isAdmin }: Props) {
  const { person } = useWorkspace()
  const command = useCommand()
  const [draft, setDraft] = useState<string | null>(null)
  const isOwn = person !== null && comment.author_id === person.id

  const save = async () => {
    const words = draft?.trim()
    if (!words || words === comment.body) setDraft(null)
    else if (await command(changeComment(comment.id, words))) setDraft((now) => (now?.trim() === words ? null : now))
  }

  return (
    <li className="comment" data-comment={comment.id}>
      <Avatar user={author} size={28} silent />
      <div className="comment-body">
        <header>
          <strong>{author?.name ?? 'Somebody'}</strong>
          <time className="faint" dateTime={comment.created_at} title={new Date(comment.created_at).toLocaleString()}>
            {ago(comment.created_at)}
            {comment.version > 1 && ' · edited'}
          </time>
          {mayEdit && (isOwn || isAdmin) && (
            <Menu kind="quiet" icon name="Comment" align="end" label={<Icon name="more" size={16} />} className="comment-more">
              {(close) => (
                <>
                  {isOwn && (
                    <button
                      type="button"
                      role="menuitem"
                      className="menu-item"
                      onClick={() => {
                        close()
                        setDraft(comment.body)
                      }}
                    >
                      Edit
                    </button>
                  )}
                  <button
                    type="button"
                    role="menuitem"
                    className="menu-item danger"
                    onClick={() => {
                      close()
                      void command(deleteComment(comment.id))
                    }}
                  >
                    Delete
                  </button>
                </>
              )}
            </Menu>
          )}
        </header>
        {draft === null ? (
          <p>
            {pieces(comment.body, people).map((piece, index) =>
              piece.kind === 'text' ? (
                piece.text
              ) : (
                <span key={index} className="mentioned" style={{ '--hue': piece.user.hue }}>
                  {piece.user.name}
                </span>
              ),
            )}
          </p>
        ) : (
          <form
            className="detail-body-form"
            data-draft={draft.trim() !== comment.body || undefined}
            onSubmit={(event) => {
              event.preventDefault()
              void save()
            }}
          >
            <MentionField label="Comment" value={draft} onChange={setDraft} onSubmit={() => void save()} onCancel={() => setDraft(null)} people={people} autoFocus />
            <div className="composer-foot">
              <button type="submit" className="button" data-kind="loud">
                Save
              </button>
              <button type="button" className="button" data-kind="quiet" onClick={() => setDraft(null)}>
                Cancel
              </button>
            </div>
          </form>
        )}
      </div>
    </li>
  )
})
