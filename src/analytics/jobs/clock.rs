//! Runs jobs when they are due, each in one of all processes.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::history::Started;
use super::{Jobs, Kind, Schedule};
use crate::postgres::{self, Exclusive};
use crate::shutdown::Scope;
use crate::telemetry::{Chain, metric};

/// How often is looked what is due, and what somebody has asked for.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is looked whether a run is this process's still.
const HOLD: Duration = Duration::from_secs(2);
/// At every so manieth look it is looked too whether what runs by its row runs still.
const DEAD_EVERY: u32 = 20;
/// How long whoever finds no tables waits for them.
const MIGRATED: Duration = Duration::from_secs(30);
/// A lock's number for each job: above those of others.
const NUMBERS: i64 = 7_126_113_471_000;

impl Jobs {
    /// Runs what is due, until `scope` closes.
    pub async fn keep(self, scope: Scope) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known = HashMap::new();
        for look in 0_u32.. {
            tokio::select! {
                biased;
                () = scope.closing() => return,
                _ = looks.tick() => {}
            }
            match self.look(&mut known, look % DEAD_EVERY == 0, &scope).await {
                Ok(()) => {}
                Err(error) if error.recovery() == postgres::Recovery::Retry => {
                    known.clear();
                    tracing::debug!(error = %Chain(&error), "jobs wait for PostgreSQL");
                }
                Err(error) => {
                    known.clear();
                    tracing::warn!(error = %Chain(&error), "jobs cannot be looked at: has `tidegate migrate` been run?");
                    tokio::select! {
                        () = scope.closing() => return,
                        () = sleep(MIGRATED) => {}
                    }
                }
            }
        }
    }

    async fn look(
        &self,
        known: &mut HashMap<Kind, Timestamp>,
        for_dead: bool,
        scope: &Scope,
    ) -> Result<(), postgres::Error> {
        for (kind, schedule) in &self.config.schedules {
            if let Some(schedule) = schedule {
                self.note(*kind, schedule, known).await?;
            }
        }
        for job in self.history.waiting(for_dead).await? {
            if let Some(kind) = Kind::named(&job) {
                self.begin(kind, scope).await?;
            }
        }
        Ok(())
    }

    /// Notes that a job is due, if it is.
    async fn note(
        &self,
        kind: Kind,
        schedule: &Schedule,
        known: &mut HashMap<Kind, Timestamp>,
    ) -> Result<(), postgres::Error> {
        let since = match known.get(&kind) {
            Some(since) => *since,
            None => self.history.known(kind.name()).await?,
        };
        let due = schedule.last(since, Timestamp::now(), &self.config.zone);
        if let Some((at, missed)) = due {
            self.history.due(kind.name(), at, missed).await?;
        }
        known.insert(kind, due.map_or(since, |(at, _)| at));
        Ok(())
    }

    /// Begins the run of a job that waits, unless another one goes on.
    async fn begin(&self, kind: Kind, scope: &Scope) -> Result<(), postgres::Error> {
        let job = kind.name();
        let Some(exclusive) = Exclusive::take(&self.pool, NUMBERS + kind as i64).await? else {
            let refused = self.history.refuse(job).await? as u64;
            if refused > 0 {
                metrics::counter!(metric::JOB_RUNS, "job" => job, "status" => "refused").increment(refused);
                tracing::warn!(job, "a run was refused: the one before has not ended");
            }
            return Ok(());
        };
        self.history.bury(job, self.config.retries).await?;
        if let Some(started) = self.history.begin(job, &self.runner).await? {
            let (jobs, closing) = (self.clone(), scope.clone());
            scope.spawn("job", async move {
                tokio::select! {
                    biased;
                    () = closing.closing() => {}
                    () = jobs.run(kind, started, exclusive) => {}
                }
            });
        }
        Ok(())
    }

    /// Does one run; ended early, whoever takes the job's lock next finds that.
    async fn run(self, kind: Kind, started: Started, exclusive: Exclusive) {
        let Started { id, parameters, attempt, missed, due_at } = started;
        let began = std::time::Instant::now();
        tracing::debug!(job = kind.name(), run = id, attempt, missed, due = due_at, "a job begins");
        let done = async {
            match timeout(self.config.timeout, self.perform(kind, &parameters)).await {
                Ok(done) => done.map_err(|error| (Chain(&error).to_string(), error.is_worth_another())),
                Err(_) => Err((format!("not done within {:?}", self.config.timeout), true)),
            }
        };
        let outcome = tokio::select! {
            done = done => done,
            lost = lost(&exclusive) => Err((format!("this process does it no longer: {}", Chain(&lost)), true)),
        };
        let seconds = began.elapsed().as_secs_f64();
        let status = if outcome.is_ok() { "succeeded" } else { "failed" };
        metrics::counter!(metric::JOB_RUNS, "job" => kind.name(), "status" => status).increment(1);
        metrics::histogram!(metric::JOB_SECONDS, "job" => kind.name()).record(seconds);
        match &outcome {
            Ok(rows) => tracing::debug!(job = kind.name(), run = id, rows, seconds, "a job is done"),
            Err((error, _)) => {
                tracing::warn!(job = kind.name(), run = id, attempt, error, "a job has failed");
            }
        }
        let is_worth_another = outcome.as_ref().is_err_and(|(_, worth)| *worth);
        let again = (is_worth_another && attempt <= self.config.retries)
            .then(|| self.config.retry_pause.saturating_mul(2_u32.saturating_pow(attempt - 1)));
        let told = outcome.as_ref().map(|rows| *rows).map_err(|(error, _)| error.as_str());
        if let Err(error) = self.history.end(&id, told, again).await {
            tracing::debug!(error = %Chain(&error), "what became of a run could not be noted");
        }
        drop(exclusive);
    }
}

async fn lost(exclusive: &Exclusive) -> postgres::Error {
    loop {
        sleep(HOLD).await;
        if let Err(error) = exclusive.holds().await {
            return error;
        }
    }
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("runner", &self.runner).finish_non_exhaustive()
    }
}

/// What runs are told apart by: host and process.
pub(super) fn runner() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}/{}", host.trim(), std::process::id())
}
