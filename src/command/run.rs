use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::operation::{Act, Trouble};
use super::{Commands, Input, Operation, Outcome, idempotency};
use crate::auth::Identity;
use crate::event::Lsn;
use crate::limit::Turn;
use crate::postgres::{self, Access, Begun, Work};
use crate::telemetry::metric;
use crate::workspace::{Code, Fault};

/// One command, as asked for.
#[derive(Debug)]
pub struct Request<'a> {
    /// Who asks.
    pub identity: &'a Identity,
    /// What it is.
    pub operation: &'a Operation,
    /// What it says.
    pub input: Input,
    /// By which it is known if it comes again.
    pub key: Option<Key>,
}

/// What a command is known by if it comes again.
#[derive(Clone, Debug)]
pub struct Key {
    /// The client's own word.
    pub key: String,
    /// Of method, path and body.
    pub fingerprint: String,
}

/// What is answered to a command that was carried out.
#[derive(Debug)]
pub struct Reply {
    /// What came of it.
    pub outcome: Outcome,
    /// The transaction that did it, as changes name it: `pg_current_xact_id()::xid::text`.
    pub tx: String,
    /// A position in the log behind it.
    pub lsn: Lsn,
    /// Whether it was carried out before, and this is what was answered then.
    pub repeated: bool,
}

/// The pause before another attempt, doubled each time, is up to this long.
const PAUSE: Duration = Duration::from_millis(5);

impl Commands {
    /// Carries a command out: all of it, or nothing.
    ///
    /// # Errors
    /// [`Fault`]: nothing was done; but for [`Code::Unavailable`], after which nobody knows. Then the same with the same
    /// key tells.
    pub async fn run(&self, request: Request<'_>) -> Result<Reply, Fault> {
        let config = &self.0.config;
        let deadline = Instant::now() + config.timeout * request.operation.patience();
        let user = request.identity.subject();
        let turn = timeout(config.timeout, self.turn(request.operation, user.as_deref())).await;
        let Ok(_turn) = turn else {
            return Err(Fault::new(Code::Unavailable, "all connections for commands are in use"));
        };
        let mut pause = PAUSE;
        for attempt in 1..=config.attempts {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            match self.attempt(&request, user.as_deref(), left).await {
                Ok(reply) => return Ok(reply),
                Err(Trouble::Refused(fault)) => return Err(fault),
                Err(Trouble::Postgres(error)) if !is_in_the_way(&error) => return Err(error.into()),
                Err(Trouble::Crowded(state)) => match self.spread(&request, &state, left).await {
                    // A batch that holds several cards can be in its way: whoever comes next finds out.
                    Err(error) if !is_in_the_way(&error) => return Err(error.into()),
                    _ => {}
                },
                Err(Trouble::Postgres(_) | Trouble::Again) => {
                    metrics::counter!(metric::COMMAND_RETRIES).increment(1);
                    if attempt < config.attempts {
                        sleep_until(deadline.min(Instant::now() + pause.mul_f64(fastrand::f64()))).await;
                        pause *= 2;
                    }
                }
            }
        }
        let detail = "others changed the same rows all the while: nothing was done, ask again";
        Err(Fault::new(Code::Contention, detail))
    }

    /// What takes long waits for others of its kind first: it holds nobody up meanwhile.
    async fn turn(&self, operation: &Operation, user: Option<&str>) -> (Option<Turn>, Turn) {
        let long = match operation.patience() {
            1 => None,
            _ => Some(self.0.long.take(user).await),
        };
        (long, self.0.turns.take(user).await)
    }

    /// Gives the entries of a state new places, in a transaction that holds nothing else.
    async fn spread(
        &self,
        request: &Request<'_>,
        state: &str,
        timeout: Duration,
    ) -> Result<(), postgres::Error> {
        let shared = &*self.0;
        let who = request.identity.impersonation();
        let begun =
            Work::begin(&shared.pool, who, &shared.config.search_path, Access::Write, timeout).await?;
        super::movement::spread(&begun.work, state).await?;
        begun.work.commit().await?;
        Ok(())
    }

    async fn attempt(
        &self,
        request: &Request<'_>,
        user: Option<&str>,
        timeout: Duration,
    ) -> Result<Reply, Trouble> {
        let shared = &*self.0;
        let who = request.identity.impersonation();
        let begun =
            Work::begin(&shared.pool, who, &shared.config.search_path, Access::Write, timeout).await?;
        let Begun { work, mark: tx } = begun;
        let act = Act { work: &work, user, is_server: who.is_none(), vault: &shared.vault };
        if let Some(key) = &request.key
            && let Some((outcome, tx)) = idempotency::begin(&act, key).await?
        {
            let lsn = work.commit().await?;
            return Ok(Reply { outcome, tx, lsn, repeated: true });
        }
        let outcome = if request.operation.is_batch() {
            self.all(act, request.input.clone()).await?
        } else {
            (request.operation.run)(act, request.input.clone()).await?
        };
        if let Some(key) = &request.key {
            idempotency::finish(&act, key, &outcome, &tx).await?;
        }
        let lsn = work.commit().await?;
        Ok(Reply { outcome, tx, lsn, repeated: false })
    }
}

/// Whether the same may well succeed at once: a deadlock or a serialization failure, a place that somebody else took just
/// now, or a row that has gone since it was looked at.
pub(super) fn is_in_the_way(error: &postgres::Error) -> bool {
    match error.code() {
        Some("40001" | "40P01") => true,
        Some("23505") => error.constraint() == Some("entries_place"),
        // What it belongs to is being deleted: another look says so.
        Some("23503") => error.constraint().is_some_and(|constraint| {
            ["_board_id_fkey", "_entry_id_fkey", "_assignee_id_fkey"]
                .iter()
                .any(|end| constraint.ends_with(end))
        }),
        _ => false,
    }
}
