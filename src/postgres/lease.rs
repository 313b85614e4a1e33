use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::timeout;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryStream};

use super::Pooled;
use super::connection::spawn;

/// Rows that are on their way when their reader goes are read and thrown away, if that takes no longer than this.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(1);
/// A request to cancel is one packet; a server that does not take it in this time is gone.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// A session of the pool with a transaction open on it.
///
/// Dropped, it ends the transaction and gives the session back. A session that is not done in a moment is cancelled and
/// thrown away: a cancelled one cannot be handed on, since the cancellation may reach it late and hit whoever has it
/// then.
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

    /// Gives the session back: its transaction has ended.
    pub(super) fn done(mut self) {
        drop(self.session.take());
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
            let rolled_back = timeout(ROLLBACK_TIMEOUT, session.batch_execute("rollback")).await;
            if !matches!(rolled_back, Ok(Ok(()))) {
                let session = session.take();
                let cancelled = timeout(CANCEL_TIMEOUT, session.cancel()).await;
                let told = matches!(cancelled, Ok(Ok(())));
                tracing::debug!(told, "cut a session that was not done in time");
                session.cut();
            }
        });
    }
}
