use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::timeout;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryStream};

use super::super::Pooled;
use super::super::connection::spawn;

/// What a server that is in its senses needs to give up a statement and roll back.
const CLEAN_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// A session of the pool with a transaction open on it.
///
/// Dropped, it cancels what still runs, ends the transaction, and gives the session back; a session that does not
/// come clean in time is thrown away.
pub(super) struct Lease {
    /// `None` once it is on its way back.
    session: Option<Pooled>,
    rows: Option<Pin<Box<SimpleQueryStream>>>,
}

impl Lease {
    pub(super) fn new(session: Pooled) -> Self {
        Self { session: Some(session), rows: None }
    }

    pub(super) fn session(&self) -> &Pooled {
        self.session.as_ref().expect("given back only at the end")
    }

    /// Sends `statement`, whose rows [`Lease::next`] then takes.
    pub(super) async fn start(&mut self, statement: &str) -> Result<(), tokio_postgres::Error> {
        let rows = self.session().simple_query_raw(statement).await?;
        self.rows = Some(Box::pin(rows));
        Ok(())
    }

    /// What the statement gives next; `None` at its end.
    pub(super) async fn next(&mut self) -> Option<Result<SimpleQueryMessage, tokio_postgres::Error>> {
        let next = self.rows.as_mut()?.next().await;
        if next.is_none() {
            self.rows = None;
        }
        next
    }

    /// Ends the transaction and gives the session back.
    pub(super) async fn end(mut self) -> Result<(), tokio_postgres::Error> {
        // Taken out only when it is clean: before that, being dropped still has to clean up.
        self.session().batch_execute("commit").await?;
        drop(self.session.take());
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else { return };
        // The session's own task reads on and throws away what nobody takes.
        self.rows = None;
        // Without a runtime there is nobody left to clean up for.
        if tokio::runtime::Handle::try_current().is_err() {
            session.take().cut();
            return;
        }
        spawn(async move {
            if !matches!(timeout(CLEAN_UP_TIMEOUT, clean_up(&session)).await, Ok(Ok(()))) {
                tracing::debug!("cut a session that did not come clean");
                session.take().cut();
            }
        });
    }
}

async fn clean_up(session: &Pooled) -> Result<(), tokio_postgres::Error> {
    // Also where no rows were asked for yet: the statement before may still be waiting for a lock.
    session.cancel().await?;
    session.batch_execute("rollback").await
}
