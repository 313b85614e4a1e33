use super::{Connection, Error, Pool};

/// What one of all processes does: held by a session of its own, and let go with it.
///
/// Whoever holds it has to look whether that is so still ([`Exclusive::holds`]), and to write nothing that does harm if it
/// is not: the server may have lost the session before this side knows.
pub struct Exclusive(Connection);

const TAKE: &str = "select pg_try_advisory_lock($1)";
const TAKING: &str = "take what one process does";
const ASK: &str = "select 1";
const ASKING: &str = "look whether this process still does what one does";

impl Exclusive {
    /// Takes it, unless another process has it. `number` is the same wherever the same is meant, and of nothing else.
    ///
    /// # Errors
    /// Those of connecting and of the conversation.
    pub async fn take(pool: &Pool, number: i64) -> Result<Option<Self>, Error> {
        let session = pool.dedicated().await?;
        let statement = Error::within_patience(TAKING, session.prepare(TAKE)).await?;
        let row = Error::within_patience(TAKING, session.query_one(&statement, &[&number])).await?;
        let taken: bool = row.try_get(0).map_err(Error::query(TAKING))?;
        Ok(taken.then_some(Self(session)))
    }

    /// Asks whether the session that holds it is there.
    ///
    /// # Errors
    /// It is not, or nobody knows.
    pub async fn holds(&self) -> Result<(), Error> {
        Error::within_patience(ASKING, self.0.simple_query(ASK)).await.map(drop)
    }
}

impl std::fmt::Debug for Exclusive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exclusive").finish_non_exhaustive()
    }
}
