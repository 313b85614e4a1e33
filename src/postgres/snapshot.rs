//! A table's rows as of one moment, in chunks of bounded size, at the reader's pace.
//!
//! ```text
//!  begin, repeatable read, read only
//!  lock table … in access share mode     before the moment is fixed: no rewrite can slip in behind it
//!  the definition is still the one asked for?
//!  pg_current_snapshot()                 fixes the moment, and says which transactions it holds
//!  declare cursor … with bound values    then fetched in text form: what `pgoutput` sends, byte for byte
//! ```
//!
//! Rows stream from the server as they are taken: what is not yet taken waits there, not here. Since an open snapshot
//! holds back vacuum, it must be read to its end within its time.

mod error;
mod reader;
mod statement;

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use crate::event::{Lsn, Snapshot, Table};

use super::lease::Lease;
use super::policy::{Proof, answer};
use super::text::Text;
use super::{Acting, Pool, Pooled};

pub use error::Error;
pub use reader::Reader;
use statement::{VERIFY, begin, declare};

/// What to read.
#[derive(Clone, Debug)]
pub struct Query<'a> {
    /// The table, as the catalog described it.
    pub table: &'a Table,
    /// As whom it is read; `None` for the server's own role, which no policy binds.
    pub acting: Option<Acting<'a>>,
    /// Indexes into its columns: what a row holds, in this order.
    pub columns: &'a [usize],
    /// Which rows, beyond the publication's own row filter.
    pub condition: Option<Condition<'a>>,
    /// What follows `order by`, if the order matters.
    pub order: Option<&'a str>,
    /// The most rows.
    pub limit: Option<u64>,
    /// How long it may take from here to the last row.
    pub timeout: Duration,
}

/// A condition in SQL, with its values apart.
#[derive(Clone, Copy, Debug)]
pub struct Condition<'a> {
    /// A boolean expression over the table's columns, with `$1`, `$2`, … for the values.
    pub sql: &'a str,
    /// The values, in PostgreSQL's text form; the expression gives each its type.
    pub values: &'a [String],
}

/// Opens a snapshot: when this returns, its moment is fixed and its rows are ready to be taken.
///
/// # Errors
/// [`Error`] says what the caller does about each.
pub async fn open(pool: &Pool, query: &Query<'_>) -> Result<Reader, Error> {
    let deadline = Instant::now() + query.timeout;
    let lease = Lease::new(pool.get().await?);
    match timeout_at(deadline, prepare(lease.session(), query)).await {
        Ok(Ok(moment)) => Reader::start(lease, query, moment, deadline).await,
        Ok(Err(error)) => Err(error),
        Err(_) => Err(Error::Timeout { table: query.table.name.clone(), timeout: query.timeout }),
    }
}

/// Puts the identity on; tells whether what was worked out for it still holds at this moment.
async fn act(session: &Client, acting: &Acting<'_>) -> Result<bool, tokio_postgres::Error> {
    let none = Proof::default();
    let proof = acting.proof.unwrap_or(&none);
    let server = answer(session, &proof.server.0).await?;
    session.batch_execute(&acting.impersonation.sql(acting.search_path)).await?;
    let identity = answer(session, &proof.identity.0).await?;
    Ok(server == proof.server.1 && identity == proof.identity.1)
}

async fn prepare(session: &Pooled, query: &Query<'_>) -> Result<(Snapshot, Lsn), Error> {
    let table = &query.table.name;
    let failed = |source| Error::classify(table, query.timeout, source);
    session.batch_execute(&begin(query)).await.map_err(failed)?;
    let (schema, name) = (&*table.schema, &*table.name);
    let verified = session
        .query_typed(VERIFY, &[(&query.table.oid, Type::OID), (&schema, Type::TEXT), (&name, Type::TEXT)])
        .await
        .map_err(failed)?;
    statement::verify(query, &verified)
        .map_err(failed)?
        .then_some(())
        .ok_or_else(|| Error::changed(table))?;
    // Only now: `lock table` asks for more than a grant on some of the columns gives.
    if let Some(acting) = &query.acting
        && !act(session, acting).await.map_err(failed)?
    {
        return Err(Error::changed(table));
    }
    let (sql, limit) = declare(query);
    let values = query.condition.map(|condition| condition.values).unwrap_or_default();
    let values: Vec<Text<'_>> = values.iter().chain(&limit).map(|value| Text(value)).collect();
    let parameters: Vec<(&(dyn ToSql + Sync), Type)> =
        values.iter().map(|value| (value as &(dyn ToSql + Sync), Text::INFERRED)).collect();
    session.execute_typed(&sql, &parameters).await.map_err(failed)?;
    statement::moment(&verified).map_err(failed)?.ok_or_else(|| Error::changed(table))
}
