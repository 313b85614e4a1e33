//! `tidegate jobs`: what is done by the clock, and what became of it.
//!
//! Exit status: 0 if all is well; 1 if a run failed, or nobody ran it; 2 if the database could not be reached.

use std::fmt::Write as _;
use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::check;
use crate::analytics::jobs::{History, Kind, Run};
use crate::config::{self, Config, Layers};
use crate::postgres::{self, Pool};

/// What the application does by the clock: shows it, asks for it, and tells what became of it.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Shows the jobs: when each is due, and what became of it last.
    List,
    /// Asks for a run, which one of the servers does, and waits for its end.
    Run {
        /// The job, as `list` shows it.
        job: String,
        /// For `backfill`: the first day or moment, as in 2026-01-01.
        #[arg(long, value_name = "MOMENT", requires = "to")]
        from: Option<String>,
        /// For `backfill`: the first day or moment that is no longer of it.
        #[arg(long, value_name = "MOMENT", requires = "from")]
        to: Option<String>,
        /// How long to wait for its end, in seconds; 0 to ask and go.
        #[arg(long, default_value_t = 600, value_name = "SECONDS")]
        wait: u64,
    },
    /// Shows runs, the newest first.
    History {
        /// The job; all of them if it is left out.
        job: Option<String>,
        /// How many.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "RUNS")]
        limit: u32,
        /// As JSON, one run a line.
        #[arg(long)]
        json: bool,
    },
}

/// Why there is nothing to show, or what was asked for did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The database cannot be asked.
    #[error("could not look at jobs: has `tidegate migrate` been run?")]
    Postgres(#[from] postgres::Error),
    /// There is no such job.
    #[error("there is no job `{0}`: it is one of {names}", names = names())]
    Unknown(String),
    /// No server has begun it.
    #[error("no server has begun run {0} of `{1}`: is one running, with app.enabled and analytics.enabled?")]
    NotBegun(String, String),
    /// It goes on.
    #[error("run {0} of `{1}` goes on: `tidegate jobs history {1}` tells what becomes of it")]
    GoesOn(String, String),
    /// It did not do what it should.
    #[error("run {id} of `{job}` {status}: {reason}")]
    Failed {
        /// The run's number.
        id: String,
        /// The job.
        job: String,
        /// `failed` or `refused`.
        status: String,
        /// Why.
        reason: String,
    },
    /// What is to be said could not be.
    #[error(transparent)]
    Output(#[from] check::Error),
}

impl Error {
    /// 2 if the database could not be reached or nothing was asked of it.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::NotBegun(..) | Self::GoesOn(..) | Self::Failed { .. } => 1,
            _ => 2,
        }
    }
}

fn names() -> String {
    Kind::ALL.map(Kind::name).join(", ")
}

/// Does what was asked.
///
/// # Errors
/// [`Error`], with an exit status of its own.
pub async fn run(arguments: Arguments, layers: Layers) -> Result<(), Error> {
    let config = layers.load()?;
    let pool = Pool::new(config.postgres.settings(), 1, config.postgres.connect_timeout)?;
    let history = History::new(pool);
    let told = match arguments.what {
        What::List => list(&config, &history).await?,
        What::Run { job, from, to, wait } => {
            let kind = Kind::named(&job).ok_or(Error::Unknown(job))?;
            let parameters = match from.zip(to) {
                Some((from, to)) => json!({"from": from, "to": to}),
                None => json!({}),
            };
            ask(&history, kind, &parameters, Duration::from_secs(wait)).await?
        }
        What::History { job, limit, json } => {
            if let Some(job) = job.as_ref().filter(|job| Kind::named(job).is_none()) {
                return Err(Error::Unknown(job.clone()));
            }
            let runs = history.newest(job.as_deref(), limit).await?;
            runs.iter().map(|run| if json { as_json(run) } else { as_text(run) }).collect()
        }
    };
    Ok(check::print(told.as_bytes())?)
}

async fn list(config: &Config, history: &History) -> Result<String, Error> {
    let jobs = config.jobs();
    let mut told = String::new();
    for (kind, schedule) in &jobs.schedules {
        let last = history.newest(Some(kind.name()), 1).await?;
        let due = match schedule {
            Some(schedule) => match schedule.next(Timestamp::now(), &jobs.zone) {
                Some(next) => format!("{schedule}, next at {next:.0}"),
                None => format!("{schedule}, never again"),
            },
            None => "when asked".to_owned(),
        };
        _ = writeln!(told, "{:<10} {}\n           {due}", kind.name(), kind.summary());
        if let Some(run) = last.first() {
            _ = write!(told, "           last: {}", as_text(run));
        }
    }
    Ok(told)
}

/// A server looks every second; one that is busy for longer than this is none.
const BEGINS_WITHIN: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(200);

async fn ask(history: &History, kind: Kind, parameters: &Value, wait: Duration) -> Result<String, Error> {
    let job = kind.name().to_owned();
    let id = history.request(&job, parameters).await?;
    if wait.is_zero() {
        return Ok(format!("asked for run {id} of `{job}`\n"));
    }
    let began = Instant::now();
    loop {
        let Some(run) = history.run(&id).await? else { return Err(Error::NotBegun(id, job)) };
        match run.status.as_str() {
            "succeeded" => return Ok(as_text(&run)),
            "failed" | "refused" => {
                let reason = run.error.unwrap_or_default();
                return Err(Error::Failed { id, job, status: run.status, reason });
            }
            "waiting" if began.elapsed() > BEGINS_WITHIN.min(wait) => return Err(Error::NotBegun(id, job)),
            _ if began.elapsed() > wait => return Err(Error::GoesOn(id, job)),
            _ => sleep(LOOK).await,
        }
    }
}

fn as_text(run: &Run) -> String {
    let mut told = format!("{:<8} {:<10} {:<9}", run.id, run.job, run.status);
    if let Some(at) = &run.started_at {
        _ = write!(told, " {at}");
    }
    if let Some(seconds) = run.seconds {
        _ = write!(told, " {seconds:.2} s");
    }
    if let Some(rows) = run.rows {
        _ = write!(told, " {rows} rows");
    }
    if run.attempt > 1 {
        _ = write!(told, " attempt {}", run.attempt);
    }
    if run.missed > 0 {
        _ = write!(told, " for {} missed before", run.missed);
    }
    if let Some(error) = &run.error {
        _ = write!(told, " ({error})");
    }
    told.push('\n');
    told
}

fn as_json(run: &Run) -> String {
    let Run { id, job, due_at, missed, parameters, attempt, status, started_at, seconds, rows, error } = run;
    let mut told = json!({
        "id": id, "job": job, "due_at": due_at, "missed": missed, "parameters": parameters, "attempt": attempt,
        "status": status, "started_at": started_at, "seconds": seconds, "rows": rows, "error": error,
    })
    .to_string();
    told.push('\n');
    told
}
