//! `app.job_runs`: what is due, what runs, and what became of it.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::postgres::{Access, Begun, Error, Fields, Pool, Work};

const TIMEOUT: Duration = Duration::from_secs(20);
const PATH: &str = "pg_catalog";

/// One attempt to do a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its number.
    pub id: String,
    /// The job.
    pub job: String,
    /// When the clock asked for it, as `timestamptz`; `None` if somebody did.
    pub due_at: Option<String>,
    /// How many that were due before it never ran.
    pub missed: u64,
    /// What it is about.
    pub parameters: Value,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// `waiting`, `running`, `succeeded`, `failed` or `refused`.
    pub status: String,
    /// When it began, as `timestamptz`.
    pub started_at: Option<String>,
    /// How long it took, or takes so far, in seconds.
    pub seconds: Option<f64>,
    /// How many rows it has written.
    pub rows: Option<u64>,
    /// What went wrong.
    pub error: Option<String>,
}

const KNOWN: &str = "
with told as (
  insert into app.jobs (name)
  values ($1)
  on conflict do nothing
)
select to_char(
  greatest(
    coalesce((select known_since from app.jobs where name = $1), now()),
    (select max(due_at) from app.job_runs where job = $1)
  ) at time zone 'UTC',
  'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'
)";
const DUE: &str = "
with known as (
  update app.jobs
  set known_since = $2::timestamptz
  where name = $1
    and known_since < $2::timestamptz
)
insert into app.job_runs (job, due_at, missed)
values ($1, $2::timestamptz, $3::integer)
on conflict do nothing
returning ''";
const ASK: &str = "
insert into app.job_runs (job, parameters)
values ($1, $2::jsonb)
returning id::text";
/// Those of which a run waits; and, if that is asked for, those of which one runs by its row, whose process may be gone.
const WAITING: &str = "
select distinct job
from app.job_runs
where (status = 'waiting' and start_after <= now())
  or ($1::boolean and status = 'running')";
/// Whoever has the job's lock calls it: what runs still by its row has died with its process.
const BURY: &str = "
with dead as (
  update app.job_runs
  set status = 'failed', finished_at = now(), error = 'its process has ended'
  where job = $1
    and status = 'running'
  returning job, due_at, missed, parameters, attempt
)
insert into app.job_runs (job, due_at, missed, parameters, attempt)
select job, due_at, missed, parameters, attempt + 1
from dead
where attempt <= $2::integer
on conflict do nothing
returning ''";
const BEGIN: &str = "
update app.job_runs
set status = 'running', started_at = now(), runner = $2
where id = (
  select id
  from app.job_runs
  where job = $1
    and status = 'waiting'
    and start_after <= now()
  order by id
  limit 1
)
returning id::text, parameters::text, attempt::text, missed::text, due_at::text";
/// What waits while another run of the job goes on, since before; but for what is about something of its own, as a backfill
/// is about its range.
const REFUSE: &str = "
update app.job_runs as waiting
set status = 'refused', finished_at = now(), error = 'another run of it had not ended: ' || running.id
from app.job_runs as running
where waiting.job = $1
  and waiting.status = 'waiting'
  and waiting.parameters = '{}'
  and waiting.start_after <= now()
  and running.job = $1
  and running.status = 'running'
  and running.id <> waiting.id
returning ''";
const END: &str = "
update app.job_runs
set status = case when $3::text is null then 'succeeded' else 'failed' end,
    finished_at = now(),
    rows = $2::bigint,
    error = $3
where id = $1::bigint
  and status = 'running'
returning ''";
const AGAIN: &str = "
insert into app.job_runs (job, due_at, missed, parameters, attempt, start_after)
select job, due_at, missed, parameters, attempt + 1, now() + $2::bigint * interval '1 millisecond'
from app.job_runs
where id = $1::bigint
on conflict do nothing
returning ''";
const FORGET: &str = "
delete from app.job_runs
where finished_at < now() - $1::bigint * interval '1 second'
returning ''";
const HISTORY: &str = "
select
  id::text, job, due_at::text, missed::text, parameters::text, attempt::text, status, started_at::text,
  extract(epoch from coalesce(finished_at, now()) - started_at)::text, rows::text, error
from app.job_runs
where ($1::text is null or job = $1)
  and ($2::bigint is null or id = $2::bigint)
order by id desc
limit $3::bigint";

/// The table, on sessions of a pool. Cloning shares it.
#[derive(Clone, Debug)]
pub struct History(Pool);

/// A run that has begun.
#[derive(Clone, Debug)]
pub(super) struct Started {
    pub(super) id: String,
    pub(super) parameters: Value,
    pub(super) attempt: u32,
    pub(super) missed: u32,
    pub(super) due_at: Option<String>,
}

impl History {
    /// In the database that `pool` connects to.
    pub const fn new(pool: Pool) -> Self {
        Self(pool)
    }

    async fn ask(&self, sql: &'static str, values: &[Option<&str>]) -> Result<Vec<Fields>, Error> {
        let Begun { work, .. } = Work::begin(&self.0, None, PATH, Access::Write, TIMEOUT).await?;
        let rows = work.rows(sql, values).await?;
        work.commit().await?;
        Ok(rows)
    }

    /// Up to when all that was due of a job is known; of one that nobody has heard of, now.
    pub(super) async fn known(&self, job: &str) -> Result<Timestamp, Error> {
        let rows = self.ask(KNOWN, &[Some(job)]).await?;
        let text = rows.first().and_then(|row| row.text(0));
        let operation = "read when a job was due";
        text.and_then(|text| text.parse().ok()).ok_or(Error::Answer { operation })
    }

    /// Notes that a job is due: once, however many say so.
    pub(super) async fn due(&self, job: &str, at: Timestamp, missed: u32) -> Result<(), Error> {
        self.ask(DUE, &[Some(job), Some(&at.to_string()), Some(&missed.to_string())]).await.map(drop)
    }

    /// Asks for a run; its number.
    ///
    /// # Errors
    /// Those of the conversation with PostgreSQL.
    pub async fn request(&self, job: &str, parameters: &Value) -> Result<String, Error> {
        let rows = self.ask(ASK, &[Some(job), Some(&parameters.to_string())]).await?;
        let id = rows.first().and_then(|row| row.text(0)).map(str::to_owned);
        id.ok_or(Error::Answer { operation: "ask for a run of a job" })
    }

    /// The jobs of which a run waits; or, to find the dead, runs.
    pub(super) async fn waiting(&self, or_runs: bool) -> Result<Vec<String>, Error> {
        let rows = self.ask(WAITING, &[Some(if or_runs { "t" } else { "f" })]).await?;
        Ok(rows.iter().filter_map(|row| row.text(0).map(str::to_owned)).collect())
    }

    /// Ends what runs by its row alone; it is tried again at once, up to so many times.
    pub(super) async fn bury(&self, job: &str, retries: u32) -> Result<(), Error> {
        self.ask(BURY, &[Some(job), Some(&retries.to_string())]).await.map(drop)
    }

    /// Begins the run that has waited longest.
    pub(super) async fn begin(&self, job: &str, runner: &str) -> Result<Option<Started>, Error> {
        let rows = self.ask(BEGIN, &[Some(job), Some(runner)]).await?;
        Ok(rows.first().map(|row| Started {
            id: row.text(0).unwrap_or_default().to_owned(),
            parameters: parsed(row, 1).unwrap_or_default(),
            attempt: parsed(row, 2).unwrap_or(1),
            missed: parsed(row, 3).unwrap_or(0),
            due_at: row.text(4).map(str::to_owned),
        }))
    }

    /// Refuses what waits behind a run that has not ended.
    pub(super) async fn refuse(&self, job: &str) -> Result<usize, Error> {
        Ok(self.ask(REFUSE, &[Some(job)]).await?.len())
    }

    /// Notes what became of a run, and has it tried again after a pause, if one is given.
    pub(super) async fn end(
        &self,
        id: &str,
        outcome: Result<u64, &str>,
        again: Option<Duration>,
    ) -> Result<(), Error> {
        let Begun { work, .. } = Work::begin(&self.0, None, PATH, Access::Write, TIMEOUT).await?;
        let rows = outcome.ok().map(|rows| rows.to_string());
        let ended = work.rows(END, &[Some(id), rows.as_deref(), outcome.err()]).await?;
        // One that was taken for dead is tried again already.
        if let (Some(pause), false) = (again, ended.is_empty()) {
            work.rows(AGAIN, &[Some(id), Some(&pause.as_millis().to_string())]).await?;
        }
        work.commit().await.map(drop)
    }

    /// Forgets runs that ended so long ago; how many.
    pub(super) async fn forget(&self, kept: Duration) -> Result<u64, Error> {
        Ok(self.ask(FORGET, &[Some(&kept.as_secs().to_string())]).await?.len() as u64)
    }

    /// The newest runs, of one job or of all.
    ///
    /// # Errors
    /// Those of the conversation with PostgreSQL.
    pub async fn newest(&self, job: Option<&str>, limit: u32) -> Result<Vec<Run>, Error> {
        let rows = self.ask(HISTORY, &[job, None, Some(&limit.to_string())]).await?;
        Ok(rows.iter().map(run).collect())
    }

    /// One run.
    ///
    /// # Errors
    /// Those of the conversation with PostgreSQL.
    pub async fn run(&self, id: &str) -> Result<Option<Run>, Error> {
        let rows = self.ask(HISTORY, &[None, Some(id), Some("1")]).await?;
        Ok(rows.first().map(run))
    }
}

fn run(row: &Fields) -> Run {
    let text = |place| row.text(place).map(str::to_owned);
    Run {
        id: text(0).unwrap_or_default(),
        job: text(1).unwrap_or_default(),
        due_at: text(2),
        missed: parsed(row, 3).unwrap_or(0),
        parameters: parsed(row, 4).unwrap_or_default(),
        attempt: parsed(row, 5).unwrap_or(1),
        status: text(6).unwrap_or_default(),
        started_at: text(7),
        seconds: parsed(row, 8),
        rows: parsed(row, 9),
        error: text(10),
    }
}

fn parsed<T: std::str::FromStr>(row: &Fields, place: usize) -> Option<T> {
    row.text(place)?.parse().ok()
}
