use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::journal::Journal;
use crate::postgres::{Pool, marker};
use crate::shutdown::Scope;
use crate::telemetry::Chain;

/// Writes a mark into the log whenever nothing came in for an interval, so that the slot moves while the published
/// tables are quiet and others are not.
pub async fn heartbeat(pool: Pool, journal: Journal, every: Duration, scope: Scope) {
    let mut beats = interval(every);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = None;
    loop {
        tokio::select! {
            biased;
            () = scope.closing() => return,
            _ = beats.tick() => {}
        }
        let tail = journal.tail();
        if last.replace(tail) == Some(tail)
            && let Err(error) = beat(&pool).await
        {
            // The source tells of a server that is away; this is its echo.
            tracing::debug!(error = %Chain(&error), "no heartbeat");
        }
    }
}

async fn beat(pool: &Pool) -> Result<(), crate::postgres::Error> {
    let client = pool.get().await?;
    marker::emit_mark(&client, None).await?;
    Ok(())
}
