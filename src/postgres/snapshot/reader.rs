use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use crate::event::{Datum, Lsn, Row, Snapshot, TableName};

use super::super::lease::Lease;
use super::statement::{FETCH_ROWS, fetch};
use super::{Error, Query};

/// An open snapshot.
///
/// Dropped before its end, it cancels what still runs for it, ends the transaction, and gives its session back to the
/// pool.
#[must_use = "an open snapshot holds back vacuum"]
pub struct Reader {
    /// `None` once all rows have been read, or an error came.
    lease: Option<Lease>,
    table: TableName,
    columns: usize,
    /// How many rows the last fetch gave.
    fetched: u64,
    snapshot: Snapshot,
    lsn: Lsn,
    timeout: Duration,
    deadline: Instant,
}

impl Reader {
    pub(super) async fn start(
        mut lease: Lease,
        query: &Query<'_>,
        (snapshot, lsn): (Snapshot, Lsn),
        deadline: Instant,
    ) -> Result<Self, Error> {
        let table = query.table.name.clone();
        let failed = |source| Error::classify(&table, query.timeout, source);
        lease.start(&fetch()).await.map_err(failed)?;
        let (columns, timeout) = (query.columns.len(), query.timeout);
        Ok(Self { lease: Some(lease), table, columns, fetched: 0, snapshot, lsn, timeout, deadline })
    }

    /// Which transactions the rows hold.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// How far the log had been written at that moment: no transaction that the rows hold committed beyond it.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// The next rows, each with the columns asked for in their order; `None` after the last.
    ///
    /// A chunk ends with the row that brings it to `max_bytes`: it holds at least one row, and exceeds `max_bytes` by
    /// less than one. Not cancel safe: rows taken are lost, drop the reader too.
    ///
    /// # Errors
    /// Those of reading; the snapshot is then over.
    pub async fn next_chunk(&mut self, max_bytes: usize) -> Result<Option<Vec<Row>>, Error> {
        let deadline = self.deadline;
        let read = match timeout_at(deadline, self.read(max_bytes)).await {
            Ok(read) => read,
            Err(_) => Err(Error::Timeout { table: self.table.clone(), timeout: self.timeout }),
        };
        if read.is_err() {
            self.lease = None;
        }
        read
    }

    async fn read(&mut self, max_bytes: usize) -> Result<Option<Vec<Row>>, Error> {
        let Some(lease) = &mut self.lease else { return Ok(None) };
        let failed = |source| Error::classify(&self.table, self.timeout, source);
        let (mut rows, mut bytes) = (Vec::new(), 0);
        loop {
            match lease.next().await.transpose().map_err(failed)? {
                Some(SimpleQueryMessage::Row(row)) => {
                    let row = self::row(&row, self.columns);
                    bytes += row.len();
                    rows.push(row);
                    if bytes >= max_bytes {
                        return Ok(Some(rows));
                    }
                }
                // The fetch's end: the cursor's too, if it gave fewer rows than asked for.
                Some(SimpleQueryMessage::CommandComplete(fetched)) => self.fetched = fetched,
                Some(_) => {}
                None if self.fetched < FETCH_ROWS => break,
                None => lease.start(&fetch()).await.map_err(failed)?,
            }
        }
        if let Some(lease) = self.lease.take() {
            lease.end().await.map_err(failed)?;
        }
        Ok(Some(rows).filter(|rows| !rows.is_empty()))
    }
}

fn row(row: &SimpleQueryRow, columns: usize) -> Row {
    (0..columns)
        .map(|index| row.get(index).map_or(Datum::Null, |text| Datum::Text(text.as_bytes())))
        .collect()
}
