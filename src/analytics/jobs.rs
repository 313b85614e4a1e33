//! Work by the clock: when it is due, one process does it, and what became of it is kept.
//!
//! ```text
//!  schedule ──due──▶ app.job_runs ──waiting──▶ the process that gets the job's lock ──▶ succeeded, failed, again
//!  `tidegate jobs run` ──asked──▶ ┘
//! ```
//!
//! What was due while no process ran is made up for by one run. A run that is due before the last one has ended is
//! refused. A process that dies leaves a row that says `running` and a lock that nobody has: the next one finds both.

mod clock;
mod history;
mod measures;
mod schedule;

use std::time::Duration;

use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::etl::{Etl, Range};
use super::export::{self, Export};
use super::live::{DriftError, Live};
use crate::postgres::{self, Pool};

pub use history::{History, Run};
pub use schedule::{InvalidSchedule, InvalidZone, Schedule, Zone};

/// When jobs run, and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// What each is due by; `None` for only when somebody asks.
    pub schedules: Vec<(Kind, Option<Schedule>)>,
    /// The zone that schedules are meant in.
    pub zone: Zone,
    /// How often a run that failed is tried again.
    pub retries: u32,
    /// How long after it failed first; twice as long each time.
    pub retry_pause: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// How long one measure's query may take.
    pub measure_timeout: Duration,
    /// How long is kept what became of runs.
    pub kept: Duration,
}

/// Runs jobs. Cloning shares it.
#[derive(Clone)]
pub struct Jobs {
    config: Config,
    pool: Pool,
    history: History,
    live: Live,
    etl: Etl,
    export: Option<Export>,
    runner: String,
}

/// A job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Reads the measures that queries give.
    Measures = 1,
    /// Compares counters with the tables.
    Check = 2,
    /// Counts all tables anew.
    Recount = 3,
    /// Lets old things go.
    Upkeep = 4,
    /// Takes the values of measures into the history.
    Sample = 5,
    /// Loads what has come into the history.
    Hourly = 6,
    /// The same, and compares the last days.
    Daily = 7,
    /// Loads a range once more.
    Backfill = 8,
    /// Writes the history as Parquet.
    Export = 9,
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("PostgreSQL could not do it")]
    Postgres(#[from] postgres::Error),
    #[error("measures could not be read: {0}")]
    Measures(String),
    #[error(transparent)]
    Drift(#[from] DriftError),
    #[error("the history could not be exported")]
    Export(#[from] export::Error),
    #[error("there is no place for exports: set export.url")]
    NoExport,
    #[error("a backfill needs `from` and `to`, as in 2026-01-01 and 2026-02-01")]
    NoRange,
    #[error("counters were not counted within {0:?}: does a server keep them?")]
    NotCounted(Duration),
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Measures,
        Self::Sample,
        Self::Hourly,
        Self::Daily,
        Self::Backfill,
        Self::Export,
        Self::Check,
        Self::Recount,
        Self::Upkeep,
    ];

    /// Its name in the configuration, on the command line and in `app.job_runs`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Measures => "measures",
            Self::Check => "check",
            Self::Recount => "recount",
            Self::Upkeep => "upkeep",
            Self::Sample => "sample",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Backfill => "backfill",
            Self::Export => "export",
        }
    }

    /// What it does.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Measures => "reads the measures that queries give",
            Self::Check => "compares counters with the tables, and has them counted anew where they differ",
            Self::Recount => "counts all cards and activities anew",
            Self::Upkeep => "makes room in the history, and lets go what is too old",
            Self::Sample => "takes the values of measures into the history",
            Self::Hourly => "loads what has come into the history, and derives charts from it",
            Self::Daily => "the same, and compares the last days with what is loaded of them",
            Self::Backfill => "loads a range of the history once more",
            Self::Export => "writes what has changed of the history as Parquet",
        }
    }

    /// The job of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl Failure {
    /// Whether the same run may well succeed a little later: not where the failure is what was found, or what was asked is
    /// wrong.
    const fn is_worth_another(&self) -> bool {
        !matches!(
            self,
            Self::Drift(DriftError::Drift { .. })
                | Self::NoRange
                | Self::NoExport
                | Self::NotCounted(_)
                | Self::Export(export::Error::Empty { .. })
        )
    }
}

impl Jobs {
    /// On sessions of `pool`.
    pub fn new(config: Config, pool: Pool, live: Live, etl: Etl, export: Option<Export>) -> Self {
        Self { config, history: History::new(pool.clone()), pool, live, etl, export, runner: clock::runner() }
    }

    /// Does a job; how many rows it has written.
    async fn perform(&self, kind: Kind, parameters: &Value) -> Result<u64, Failure> {
        match kind {
            Kind::Measures => self.measure().await,
            Kind::Check => self.check().await,
            Kind::Recount => self.recount().await,
            Kind::Upkeep => Ok(self.etl.retain().await? + self.history.forget(self.config.kept).await?),
            Kind::Sample => Ok(self.etl.sample().await?),
            Kind::Hourly => Ok(self.etl.hourly().await?),
            Kind::Daily => Ok(self.etl.daily().await?),
            Kind::Export => Ok(self.export.as_ref().ok_or(Failure::NoExport)?.run().await?),
            Kind::Backfill => {
                let moment = |name: &str| parameters[name].as_str().map(str::to_owned);
                let (from, to) = moment("from").zip(moment("to")).ok_or(Failure::NoRange)?;
                Ok(self.etl.backfill(&Range { from, to }).await?)
            }
        }
    }

    async fn check(&self) -> Result<u64, Failure> {
        match self.live.check().await {
            Ok(compared) => Ok(compared),
            Err(drift @ DriftError::Drift { .. }) => {
                self.live.forget().await?;
                Err(drift.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn recount(&self) -> Result<u64, Failure> {
        const LOOK: Duration = Duration::from_millis(200);
        self.live.forget().await?;
        let counted = async {
            while !self.live.is_counted().await? {
                sleep(LOOK).await;
            }
            Ok::<_, postgres::Error>(())
        };
        let within = self.live.count_timeout();
        timeout(within, counted).await.map_err(|_| Failure::NotCounted(within))??;
        Ok(self.live.counters().await?)
    }
}
