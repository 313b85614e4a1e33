use std::time::Duration;

use object_store::PutPayload;
use tokio::task::spawn_blocking;

use super::file::File;
use super::table::Table;
use super::{Error, Limits};
use crate::postgres::{Access, Begun, Pool, Work};

/// A file's worth of a day's rows, encoded: read in one transaction, which has ended.
pub(super) struct Piece {
    /// Of all rows of the day at the moment of these.
    pub(super) digest: String,
    pub(super) rows: u64,
    pub(super) body: PutPayload,
    /// The key behind which the day's next file begins; `None` where there is no other.
    pub(super) behind: Option<String>,
}

/// A look at all rows of a table, or the rows of a file: what takes longer has come to a stop.
const TIMEOUT: Duration = Duration::from_hours(1);

/// Each day of a table, and its digest.
pub(super) async fn digests(warehouse: &Pool, table: &'static Table) -> Result<Vec<(String, String)>, Error> {
    let work = begin(warehouse).await?;
    let rows = work.rows(table.digests(), &[]).await?;
    work.end().await?;
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    Ok(rows.iter().map(|row| (text(row.text(0)), text(row.text(1)))).collect())
}

/// The first day of a table that has not been let go; `None` where all are kept.
pub(super) async fn retired_before(warehouse: &Pool, table: &'static Table) -> Result<Option<String>, Error> {
    const RETIRED: &str = "
        select retired_before::date::text
        from analytics.partitioned
        where parent = $1
          and isfinite(retired_before)";
    let work = begin(warehouse).await?;
    let row = work.first(RETIRED, &[Some(table.name)]).await?;
    work.end().await?;
    Ok(row.and_then(|row| row.text(0).map(str::to_owned)))
}

impl Piece {
    /// Reads the rows of a day behind a key.
    pub(super) async fn read(
        warehouse: &Pool,
        table: &'static Table,
        day: &str,
        behind: &str,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let work = begin(warehouse).await?;
        let digest = work.first(table.digest(), &[Some(day)]).await?;
        let digest = digest.and_then(|row| row.text(0).map(str::to_owned)).unwrap_or_default();
        let most = limits.file_rows.to_string();
        let mut found = work.portions(table.rows(), &[Some(day), Some(behind), Some(&most)]).await?;
        let (mut rows, mut last, mut is_end) = (0, None, false);
        let mut file = File::new(table)?;
        while !is_end && file.bytes() < limits.file_bytes {
            let group = found.next(limits.group_rows).await?;
            is_end = group.len() < limits.group_rows;
            rows += group.len();
            if let Some(row) = group.last() {
                last = row.text(table.columns.len()).map(str::to_owned);
                file = encode(file, group).await?;
            }
        }
        drop(found);
        work.end().await?;
        let is_whole = is_end && rows < limits.file_rows;
        let behind = last.filter(|_| !is_whole);
        Ok(Self { digest, rows: rows as u64, body: file.end()?, behind })
    }
}

async fn begin(warehouse: &Pool) -> Result<Work, Error> {
    let Begun { work, .. } = Work::begin(warehouse, None, "pg_catalog", Access::Read, TIMEOUT).await?;
    Ok(work)
}

async fn encode(mut file: File, rows: Vec<crate::postgres::Fields>) -> Result<File, Error> {
    let encoded = spawn_blocking(move || file.put(&rows).map(|()| file));
    Ok(encoded.await.expect("it does not panic")?)
}
