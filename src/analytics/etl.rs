//! From the application's tables to the history: extract, clean, load, derive.
//!
//! ```text
//!  primary ──by watermark──▶ rows ──clean──▶ facts, dimensions ──touched──▶ spans, charts
//!                              └──reason──▶ rejects
//!  public.kpi_values ──▶ raw ──▶ hour ──▶ day ──▶ month
//! ```
//!
//! Each step is one transaction of the analytics database, with the watermark that it moves: killed anywhere and run
//! again it comes to the same tables. What comes late is loaded when it comes, and what was derived from its day is
//! derived anew.

mod activities;
mod cards;
mod derive;
mod dimensions;
mod extract;
mod measures;
mod retention;
mod user_actions;

use std::time::Duration;

use crate::postgres::{self, Access, Begun, Pool, Work};
use activities::ACTIVITIES;
use user_actions::USER_ACTIONS;

pub use retention::Retention;

/// Moves what has happened into the history. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Etl {
    primary: Pool,
    warehouse: Pool,
    retention: Retention,
}

/// From when until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first moment, as `timestamptz`.
    pub from: String,
    /// The first moment that is not of it.
    pub to: String,
}

/// For one step of a load.
const STEP_TIMEOUT: Duration = Duration::from_mins(30);
const PATH: &str = "pg_catalog";
/// One step at a time, whichever job it is of: held to the end of its transaction.
const TURN: &str = "select pg_advisory_xact_lock(7126113472001)::text";
/// What writes values by the minute, and what rolls them up or lets them go: behind the other one. Values are taken while a
/// load goes on.
const VALUES_TURN: &str = "select pg_advisory_xact_lock(7126113472002)::text";
/// Up to when all is loaded of a source that goes by time, less a while.
const WATERMARK: &str = "
insert into analytics.watermarks as kept (source) values ($1)
on conflict (source) do update set seen_at = now()
returning case when settled_at = '-infinity' then '-infinity' else (settled_at - $2::interval)::text end";

impl Etl {
    /// From `primary` to `warehouse`, which may be the same database.
    pub const fn new(primary: Pool, warehouse: Pool, retention: Retention) -> Self {
        Self { primary, warehouse, retention }
    }

    /// Loads what has come since the last time; how many rows.
    ///
    /// # Errors
    /// Those of the conversations with both databases.
    pub async fn hourly(&self) -> Result<u64, postgres::Error> {
        let loaded = self.load("1 hour").await?;
        self.computed().await?;
        Ok(loaded)
    }

    async fn load(&self, before: &str) -> Result<u64, postgres::Error> {
        self.dimensions().await?;
        let loaded =
            self.cards(before).await? + self.follow(&ACTIVITIES).await? + self.follow(&USER_ACTIONS).await?;
        let derived = self.derive().await?;
        Ok(loaded + derived + self.roll_up(None).await?)
    }

    /// The same, and compares what is loaded of the last days with what is there: what was deleted, what was written by
    /// hand, what came in ways that no number tells.
    ///
    /// # Errors
    /// As [`Etl::hourly`].
    pub async fn daily(&self) -> Result<u64, postgres::Error> {
        let loaded = self.load("2 days").await?;
        let mended = self.reconcile(&ACTIVITIES, None).await?
            + self.reconcile(&USER_ACTIONS, None).await?
            + self.boards().await?
            + self.derive().await?;
        // Last: whoever is told of more finds all of it.
        self.computed().await?;
        Ok(loaded + mended)
    }

    /// Loads a range once more, whatever is loaded of it.
    ///
    /// # Errors
    /// As [`Etl::hourly`].
    pub async fn backfill(&self, range: &Range) -> Result<u64, postgres::Error> {
        self.dimensions().await?;
        let again = self.again(&ACTIVITIES, range).await?
            + self.again(&USER_ACTIONS, range).await?
            + self.boards().await?;
        let derived = self.derive().await?;
        let rolled = self.roll_up(Some(range)).await?;
        self.computed().await?;
        Ok(again + derived + rolled)
    }

    async fn read(&self) -> Result<Work, postgres::Error> {
        let Begun { work, .. } = Work::begin(&self.primary, None, PATH, Access::Read, STEP_TIMEOUT).await?;
        Ok(work)
    }

    /// A step: nobody else is at one.
    async fn step(&self) -> Result<Work, postgres::Error> {
        self.holding(&[TURN]).await
    }

    /// The same, where nobody is at the values by the minute either.
    async fn values_step(&self) -> Result<Work, postgres::Error> {
        self.holding(&[TURN, VALUES_TURN]).await
    }

    /// A step that has to do with values by the minute alone.
    async fn sample_step(&self) -> Result<Work, postgres::Error> {
        self.holding(&[VALUES_TURN]).await
    }

    async fn holding(&self, turns: &[&'static str]) -> Result<Work, postgres::Error> {
        let Begun { work, .. } =
            Work::begin(&self.warehouse, None, PATH, Access::Write, STEP_TIMEOUT).await?;
        for turn in turns {
            work.first(turn, &[]).await?;
        }
        Ok(work)
    }

    /// Tells those who show history that there is more of it.
    async fn computed(&self) -> Result<(), postgres::Error> {
        const COMPUTED: &str = "update public.kpis set computed_at = now() where enabled returning ''";
        let Begun { work, .. } = Work::begin(&self.primary, None, PATH, Access::Write, STEP_TIMEOUT).await?;
        work.rows(COMPUTED, &[]).await?;
        work.commit().await.map(drop)
    }
}

/// The number in the first column of the first row.
async fn count(work: &Work, sql: &'static str, values: &[Option<&str>]) -> Result<u64, postgres::Error> {
    let row = work.first(sql, values).await?;
    Ok(row.and_then(|row| row.text(0)?.parse().ok()).unwrap_or(0))
}
