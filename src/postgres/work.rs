use std::pin::Pin;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, RowStream, SimpleQueryMessage};

use super::lease::Lease;
use super::text::Text;
use super::{Error, Impersonation, Pool};
use crate::event::Lsn;

/// Statements of our own in one transaction as somebody, on a session of the pool.
///
/// Dropped before [`Work::commit`], it is rolled back. Every value goes out and comes back as PostgreSQL's text, so that
/// what a reply shows of a row is what the stream shows of it.
pub struct Work {
    lease: Lease,
    deadline: Instant,
    timeout: Duration,
}

/// What a transaction may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read and write; it has a transaction id from its beginning.
    Write,
    /// Read and write, all of it as of one moment: fails if others have written the same rows since. These tables, as SQL
    /// lists them, are locked before that moment, so that no rewrite slips in between it and their rows.
    Consistent(&'static str),
    /// Read, on a primary.
    Read,
    /// Read, on a server that follows another.
    Follow,
}

/// A transaction has begun.
pub struct Begun {
    /// It.
    pub work: Work,
    /// Of one that writes: its id, as `pg_current_xact_id()::xid::text` gives it. Of one on a server that follows: up to
    /// where that had come before any row was read, as `pg_lsn`. Of a consistent one: the moment, as
    /// `pg_current_snapshot()` gives it. Else empty.
    pub mark: String,
}

/// A row of text.
#[derive(Debug)]
pub struct Fields(Row);

/// The rows of a statement of a [`Work`], while it runs.
pub struct Rows<'a> {
    work: &'a Work,
    rows: Pin<Box<RowStream>>,
}

const BEGIN: &str = "begin the work of a request";
const RUN: &str = "run a statement of a request";
const COMMIT: &str = "commit the work of a request";

impl Work {
    /// Begins a transaction as somebody (`None`: as the server's own role), that has `timeout` from now for everything.
    ///
    /// # Errors
    /// Those of the pool and of the conversation; [`Error::Query`] too if the role cannot be taken on.
    pub async fn begin(
        pool: &Pool,
        who: Option<&Impersonation>,
        search_path: &str,
        access: Access,
        timeout: Duration,
    ) -> Result<Begun, Error> {
        let deadline = Instant::now() + timeout;
        let waited = timeout_at(deadline, pool.get()).await;
        let lease = Lease::new(waited.map_err(|_| Error::Timeout { operation: BEGIN, timeout })??);
        let work = Self { lease, deadline, timeout };
        let mut reached = None;
        if access == Access::Follow {
            // Before the moment of its snapshot, and so not in its transaction.
            const SQL: &str = "
                select coalesce(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() end, '0/0')::text";
            let answers = work.within(BEGIN, work.lease.session().simple_query(SQL)).await?;
            reached = last_text(&answers);
        }
        let (mode, mark) = match access {
            Access::Write => ("read committed, read write", "pg_current_xact_id()::xid::text"),
            Access::Consistent(_) => ("repeatable read, read write", "pg_current_snapshot()::text"),
            // What several statements show belongs together.
            Access::Read | Access::Follow => ("repeatable read, read only", "''"),
        };
        let lock = match access {
            Access::Consistent(tables) => format!("lock table {tables} in access share mode;"),
            _ => String::new(),
        };
        let acting = who.map(|who| who.sql(search_path)).unwrap_or_default();
        let bound = timeout.as_millis().max(1);
        let sql = format!(
            "begin isolation level {mode}; set local statement_timeout = {bound}; \
             set local client_min_messages = error; {lock} {acting} select {mark}"
        );
        let answers = work.within(BEGIN, work.lease.session().simple_query(&sql)).await?;
        let mark = reached.or_else(|| last_text(&answers)).ok_or(Error::Answer { operation: BEGIN })?;
        Ok(Begun { work, mark })
    }

    /// The rows of a statement that is the same every time. Each of its columns is text.
    ///
    /// # Errors
    /// Those of the conversation: whatever the statement ran into ends the transaction.
    pub async fn rows(&self, sql: &'static str, values: &[Option<&str>]) -> Result<Vec<Fields>, Error> {
        let asked = async {
            let session = self.lease.session();
            let statement = session.prepared(sql).await?;
            let values: Vec<Option<Text<'_>>> = values.iter().map(|value| value.map(Text)).collect();
            let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
            session.query(&statement, &values).await
        };
        Ok(self.within(RUN, asked).await?.into_iter().map(Fields).collect())
    }

    /// The same, taken in portions: PostgreSQL runs the statement once, and sends on as its rows are taken.
    ///
    /// # Errors
    /// As [`Work::rows`].
    pub async fn portions(&self, sql: &'static str, values: &[Option<&str>]) -> Result<Rows<'_>, Error> {
        let asked = async {
            let session = self.lease.session();
            let statement = session.prepared(sql).await?;
            session.query_raw(&statement, values.iter().map(|value| value.map(Text))).await
        };
        let rows = Box::pin(self.within(RUN, asked).await?);
        Ok(Rows { work: self, rows })
    }

    /// The first row of a statement that is the same every time.
    ///
    /// # Errors
    /// As [`Work::rows`].
    pub async fn first(&self, sql: &'static str, values: &[Option<&str>]) -> Result<Option<Fields>, Error> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// Commits, and gives a position in the log behind all that was written: where the log ends then, whether it has been
    /// flushed or not.
    ///
    /// # Errors
    /// Those of the conversation; after one that is not PostgreSQL's own word ([`Error::sql_state`]) nobody knows whether
    /// it was committed.
    pub async fn commit(self) -> Result<Lsn, Error> {
        const SQL: &str = "commit; select pg_current_wal_insert_lsn()::text";
        let answers = self.within(COMMIT, self.lease.session().simple_query(SQL)).await?;
        self.lease.done();
        last_text(&answers).and_then(|text| text.parse().ok()).ok_or(Error::Answer { operation: COMMIT })
    }

    /// Ends a transaction that has only read.
    ///
    /// # Errors
    /// Those of the conversation.
    pub async fn end(self) -> Result<(), Error> {
        self.within(COMMIT, self.lease.session().batch_execute("commit")).await?;
        self.lease.done();
        Ok(())
    }

    async fn within<T>(
        &self,
        operation: &'static str,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        match timeout_at(self.deadline, answer).await {
            Ok(answer) => answer.map_err(Error::query(operation)),
            Err(_) => Err(Error::Timeout { operation, timeout: self.timeout }),
        }
    }
}

impl Rows<'_> {
    /// The next rows, at most so many; fewer only at the end.
    ///
    /// # Errors
    /// As [`Work::rows`].
    pub async fn next(&mut self, most: usize) -> Result<Vec<Fields>, Error> {
        let taken = async {
            let mut taken = Vec::with_capacity(most);
            while taken.len() < most
                && let Some(row) = self.rows.try_next().await?
            {
                taken.push(Fields(row));
            }
            Ok(taken)
        };
        self.work.within(RUN, taken).await
    }
}

impl Fields {
    /// The value in a place of the row; `None` for NULL.
    ///
    /// # Panics
    /// If there is no such place, or it is not text: the statement is at fault.
    pub fn text(&self, place: usize) -> Option<&str> {
        self.0.try_get(place).expect("statements select texts, and as many as are asked for")
    }
}

fn last_text(answers: &[SimpleQueryMessage]) -> Option<String> {
    answers.iter().rev().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}
