import { Empty } from '../design/Empty'

/** The server does not let this person in, or not any more. */
export function NoAccess({ name, isUnknown, onSignOut }: { name: string | undefined; isUnknown: boolean; onSignOut: () => void }) {
  return (
    <main className="no-access">
      <Empty icon="lock" title={name ? `${name} is not let in here` : 'This page is not let in here'}>
        <p>{isUnknown ? 'The sign-in does not hold any more.' : 'The database has no role for you.'}</p>
        {name && (
          <button type="button" className="button" data-kind="loud" onClick={onSignOut}>
            Be somebody else
          </button>
        )}
      </Empty>
    </main>
  )
}
