//! Which transactions a reader sees now.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Statement};

use crate::event::Snapshot;

use super::Error;

const CURRENT: &str = "select pg_current_snapshot()::text";
const OPERATION: &str = "read the current snapshot";

/// Asks again and again, on one session, with a statement prepared once.
#[derive(Clone, Debug)]
pub struct Visibility {
    statement: Statement,
}

impl Visibility {
    /// Prepares the question on the session to ask it on.
    ///
    /// # Errors
    /// Those of the conversation with PostgreSQL.
    pub async fn prepare(client: &Client) -> Result<Self, Error> {
        let statement = Error::within_patience(OPERATION, client.prepare(CURRENT)).await?;
        Ok(Self { statement })
    }

    /// What a statement that starts now sees. `client` is the session that the question was prepared on.
    ///
    /// # Errors
    /// Those of the conversation with PostgreSQL.
    pub async fn current(&self, client: &Client) -> Result<Snapshot, Error> {
        let row = Error::within_patience(OPERATION, client.query_one(&self.statement, &[])).await?;
        parse(&row)
    }
}

/// What a statement that starts now sees: asked once.
///
/// # Errors
/// Those of the conversation with PostgreSQL.
pub async fn current_snapshot(client: &Client) -> Result<Snapshot, Error> {
    let row = Error::within_patience(OPERATION, client.query_typed_one(CURRENT, &[])).await?;
    parse(&row)
}

/// The timeline that the server writes: another one after each failover and each recovery to a point in time.
///
/// # Errors
/// Those of the conversation with PostgreSQL; a standby has none of its own.
pub async fn timeline(client: &Client) -> Result<u32, Error> {
    const TIMELINE: &str = "select left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)";
    const OPERATION: &str = "read the timeline";
    let row = Error::within_patience(OPERATION, client.query_typed_one(TIMELINE, &[])).await?;
    let digits: &str = row.try_get(0).map_err(Error::query(OPERATION))?;
    u32::from_str_radix(digits, 16).map_err(|_| Error::Answer { operation: OPERATION })
}

/// The system identifier: one a cluster, its standbys included. `None` where this role was denied the function that
/// tells it, which everybody may call unless somebody revoked that.
///
/// # Errors
/// Those of the conversation with PostgreSQL.
pub async fn system_id(client: &Client) -> Result<Option<u64>, Error> {
    const SYSTEM: &str = "select system_identifier from pg_control_system()";
    match client.query_typed_one(SYSTEM, &[]).await.and_then(|row| row.try_get::<_, i64>(0)) {
        // It has 64 bits, which SQL shows with a sign.
        Ok(id) => Ok(Some(id.cast_unsigned())),
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Ok(None),
        Err(error) => Err(Error::query("read the system identifier")(error)),
    }
}

fn parse(row: &tokio_postgres::Row) -> Result<Snapshot, Error> {
    let text: &str = row.try_get(0).map_err(Error::query(OPERATION))?;
    text.parse().map_err(|_| Error::Answer { operation: OPERATION })
}
