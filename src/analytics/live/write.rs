use std::time::Duration;

use tokio::time::Instant;

use super::count::moment;
use super::statements::{ADD, ADVANCE, BOARDS, COUNTERS, FORGET, MOVE, PROGRESS, STAND, SWEEP};
use super::tally::{Taken, Tally, rows};
use super::{Error, Live, PART, Turn, settle};
use crate::event::Timestamp;
use crate::postgres::{self, Access, Begun, Work};
use crate::telemetry::metric;

/// For what is written at once.
const TIMEOUT: Duration = Duration::from_mins(1);
const PATH: &str = "pg_catalog";
/// So many boards are settled in the transaction that writes their counters.
const TOGETHER: usize = 200;

impl Live {
    pub(super) async fn begin(&self, access: Access, timeout: Duration) -> Result<Begun, postgres::Error> {
        Work::begin(&self.pool, None, PATH, access, timeout).await
    }

    /// The cursor that is written, if one is, by which rules was counted, and from when on all is.
    pub(super) async fn progress(&self) -> Result<Option<(String, i32, Timestamp)>, postgres::Error> {
        let Begun { work, .. } = self.begin(Access::Read, TIMEOUT).await?;
        let row = work.first(PROGRESS, &[]).await?;
        work.end().await?;
        Ok(row.and_then(|row| {
            Some((row.text(0)?.to_owned(), row.text(1)?.parse().ok()?, moment(Some(&row), 2)))
        }))
    }

    /// Has whoever keeps the counters count them anew.
    ///
    /// # Errors
    /// Those of the conversation with PostgreSQL.
    pub async fn forget(&self) -> Result<(), postgres::Error> {
        let Begun { work, .. } = self.begin(Access::Write, TIMEOUT).await?;
        work.first(FORGET, &[]).await?;
        work.commit().await.map(drop)
    }

    /// How long counting all anew may take.
    pub const fn count_timeout(&self) -> Duration {
        self.config.count_timeout
    }

    /// Whether the counters are counted.
    ///
    /// # Errors
    /// Those of the conversation with PostgreSQL.
    pub async fn is_counted(&self) -> Result<bool, postgres::Error> {
        Ok(self.progress().await?.is_some())
    }

    /// How many there are.
    ///
    /// # Errors
    /// Those of the conversation with PostgreSQL.
    pub async fn counters(&self) -> Result<u64, postgres::Error> {
        let Begun { work, .. } = self.begin(Access::Read, TIMEOUT).await?;
        let row = work.first(COUNTERS, &[]).await?;
        work.end().await?;
        Ok(row.and_then(|row| row.text(0)?.parse().ok()).unwrap_or(0))
    }
}

impl Turn<'_> {
    /// Writes what has gathered, and the place up to which that is all.
    pub(super) async fn write(&mut self) -> Result<(), Error> {
        let began = Instant::now();
        let Taken { counts, boards } = self.tally.take();
        self.due = None;
        let cursor = self.reading.place().cursor().encode();
        if cursor != self.written {
            let Begun { work, .. } = self.live.begin(Access::Write, TIMEOUT).await?;
            if work.first(MOVE, &[Some(&self.written), Some(&cursor)]).await?.is_none() {
                return Err(Error::Overtaken);
            }
            if !counts.is_empty() {
                let rows = rows(&counts);
                work.rows(ADD, &[Some(&rows)]).await?;
                work.rows(SWEEP, &[Some(&rows)]).await?;
            }
            let few = boards.as_ref().filter(|boards| boards.len() <= TOGETHER);
            if let Some(boards) = few.filter(|boards| !boards.is_empty()) {
                settle::settle(&work, &array(boards.iter())).await?;
            }
            work.commit().await?;
            self.written = cursor;
            metrics::counter!(metric::KPI_WRITES).increment(1);
            // Of many, some at a time: whoever comes after a keeper that died in between settles all.
            if let Some(boards) = boards.as_ref().filter(|boards| boards.len() > TOGETHER) {
                let boards: Vec<_> = boards.iter().collect();
                for some in boards.chunks(TOGETHER) {
                    let work = self.stand().await?;
                    settle::settle(&work, &array(some.iter().copied())).await?;
                    work.commit().await?;
                }
            }
        }
        if boards.is_none() {
            self.settle_all().await?;
        }
        metrics::histogram!(metric::KPI_WRITE_SECONDS).record(began.elapsed().as_secs_f64());
        // Until then more gathers.
        self.rest = Instant::now() + began.elapsed() * (PART - 1);
        Ok(())
    }

    /// A transaction that nobody else moves the place in: what is settled in it is of no older counters.
    async fn stand(&self) -> Result<Work, Error> {
        let Begun { work, .. } = self.live.begin(Access::Write, TIMEOUT).await?;
        match work.first(STAND, &[Some(&self.written)]).await? {
            Some(_) => Ok(work),
            None => Err(Error::Overtaken),
        }
    }

    /// Works the values of all boards out anew, some boards at a time.
    pub(super) async fn settle_all(&self) -> Result<(), Error> {
        let mut after = i64::MIN.to_string();
        loop {
            let work = self.stand().await?;
            let boards = work.rows(BOARDS, &[Some(&after)]).await?;
            let boards: Vec<_> = boards.iter().filter_map(|row| row.text(0)).collect();
            let Some(last) = boards.last() else {
                work.end().await?;
                return Ok(());
            };
            settle::settle(&work, &format!("{{{}}}", boards.join(","))).await?;
            work.commit().await?;
            after = (*last).to_owned();
        }
    }

    /// Once a minute: values are sampled, and where the last hours have become others, those of all boards.
    pub(super) async fn sample(&mut self) -> Result<(), Error> {
        self.write().await?;
        let work = self.stand().await?;
        let hour = work.first(HOUR, &[]).await?;
        settle::sample(&work).await?;
        let advanced = work.first(ADVANCE, &[]).await?;
        work.commit().await?;
        if advanced.is_some() {
            // Nothing has gathered: what does from here on is counted from there on.
            self.tally = Tally::new(moment(advanced.as_ref(), 0));
        }
        let hour = hour.and_then(|row| row.text(0).map(str::to_owned)).unwrap_or_default();
        if self.hour != hour {
            self.settle_all().await?;
            self.hour = hour;
        }
        Ok(())
    }
}

const HOUR: &str = "select date_trunc('hour', now())::text";

fn array<'a>(boards: impl Iterator<Item = &'a i64>) -> String {
    let boards: Vec<_> = boards.map(i64::to_string).collect();
    format!("{{{}}}", boards.join(","))
}
