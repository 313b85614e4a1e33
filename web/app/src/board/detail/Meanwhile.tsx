interface Props {
  /** What stands there now, which is not what one began with. */
  text: string
  onMine: () => void
  onTheirs: () => void
}

/** Somebody else was quicker: nothing of theirs is overwritten before one has seen it. */
export function Meanwhile({ text, onMine, onTheirs }: Props) {
  return (
    <div className="banner meanwhile" role="alert">
      <p>Somebody changed it meanwhile:</p>
      <p className="detail-body">{text || <span className="faint">Nothing is there any more</span>}</p>
      <div className="composer-foot">
        <button type="button" className="button" onClick={onMine}>
          Save mine instead
        </button>
        <button type="button" className="button" data-kind="quiet" onClick={onTheirs}>
          Take theirs
        </button>
      </div>
    </div>
  )
}
