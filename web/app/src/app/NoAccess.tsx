import { Empty } from '../design/Empty'

/** The server does not let this person in, or not any more. */
export function NoAccess({ name, why, onSignOut }: { name: string | undefined; why: string | undefined; onSignOut: () => void }) {
  return (
    <main className="no-access">
      <Empty icon="lock" title={name ? `${name} is not let in here` : 'This page is not let in here'}>
        <p>{why === 'unauthenticated' ? 'The sign-in does not hold any more.' : 'The database has no role for you.'}</p>
        {name && (
          <button type="button" className="button" data-kind="loud" onClick={onSignOut}>
            Be somebody else
          </button>
        )}
      </Empty>
    </main>
  )
}
