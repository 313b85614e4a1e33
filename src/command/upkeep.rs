//! What no request does: cards that get late are told, and what is kept for a while is let go.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::{Commands, DaysKept};
use crate::postgres::{self, Access, Begun, Work};
use crate::shutdown::Scope;
use crate::telemetry::Chain;

/// A card that is late is told so soon after.
const EVERY: Duration = Duration::from_mins(1);
/// It is in nobody's way.
const TIMEOUT: Duration = Duration::from_mins(5);
/// Any number: of all processes one does it.
const LOCK: &str = "select pg_try_advisory_xact_lock(7126113470021)::text";
const OVERDUE: &str = "select app.alert_overdue()::text";
const KEYS: &str = "
delete from app.idempotency_keys
where ctid = any (array(
  select ctid
  from app.idempotency_keys
  where created_at < now() - $1::bigint * interval '1 second'
  limit 10000
))
returning ''";
/// The oldest are those of the lowest numbers: where they are to stay, no others are looked at.
const OLD: [&str; 3] = [
    "
delete from public.activities
where id in (select id from public.activities order by id limit 10000)
  and at < now() - $1::bigint * interval '1 second'
returning ''",
    "
delete from public.notifications
where id in (select id from public.notifications order by id limit 10000)
  and created_at < now() - $1::bigint * interval '1 second'
returning ''",
    "
delete from app.user_actions
where id in (select id from app.user_actions order by id limit 10000)
  and at < now() - $1::bigint * interval '1 second'
returning ''",
];
const DAY_SECONDS: u64 = 24 * 60 * 60;
/// So many in one statement.
const AT_ONCE: usize = 10_000;

/// Does it once a minute, in one of all processes, until `scope` closes.
pub async fn keep(commands: Commands, scope: Scope) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = scope.closing() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = commands.keep_up().await {
            if error.recovery() == postgres::Recovery::Retry {
                tracing::debug!(error = %Chain(&error), "upkeep waits for PostgreSQL");
            } else {
                tracing::warn!(error = %Chain(&error), "upkeep cannot be done: has `tidegate migrate` been run?");
            }
        }
    }
}

impl Commands {
    /// Tells of cards that have become late, and forgets old keys; gives how many were told, `None` if another process is
    /// at it.
    ///
    /// # Errors
    /// Those of the conversation with PostgreSQL.
    pub async fn keep_up(&self) -> Result<Option<u64>, postgres::Error> {
        let shared = &*self.0;
        let path = &shared.config.search_path;
        let Begun { work, .. } = Work::begin(&shared.pool, None, path, Access::Write, TIMEOUT).await?;
        let alone = work.first(LOCK, &[]).await?;
        if alone.is_none_or(|alone| alone.text(0) != Some("true")) {
            work.end().await?;
            return Ok(None);
        }
        let told = work.first(OVERDUE, &[]).await?;
        work.commit().await?;
        // Not in one transaction: what is kept too long is let go also where somebody cannot be told.
        self.forget(KEYS, shared.config.keys_kept.as_secs()).await?;
        let DaysKept { activities, notifications, user_actions } = shared.config.days_kept;
        for (old, days) in OLD.into_iter().zip([activities, notifications, user_actions]) {
            if days > 0 {
                self.forget(old, days as u64 * DAY_SECONDS).await?;
            }
        }
        Ok(Some(told.and_then(|told| told.text(0)?.parse().ok()).unwrap_or(0)))
    }

    /// Deletes what is older than so many seconds, some at a time.
    async fn forget(&self, old: &'static str, seconds: u64) -> Result<(), postgres::Error> {
        let shared = &*self.0;
        let kept = seconds.to_string();
        loop {
            let path = &shared.config.search_path;
            let Begun { work, .. } = Work::begin(&shared.pool, None, path, Access::Write, TIMEOUT).await?;
            let gone = work.rows(old, &[Some(&kept)]).await?.len();
            work.commit().await?;
            if gone < AT_ONCE {
                return Ok(());
            }
        }
    }
}
