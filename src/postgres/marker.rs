//! A place in the log that the stream will pass: written by us, told back to us by the stream.
//!
//! Whoever waits until the stream has come as far as some moment writes a mark after it and waits for the mark.
//! Unlike a comparison of positions that holds over a crash too: a server that lost its last moments lost the mark.

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use crate::event::Lsn;

use super::Error;

/// The prefix of marks among the log's messages.
pub const PREFIX: &str = "tidegate.mark";

/// One statement is a transaction of its own, and what it sets locally still holds when it commits: the commit waits
/// for the local disk, never for a standby that may be away.
const EMIT: &str = "
select set_config('synchronous_commit', 'local', true),
       pg_logical_emit_message(true, $1, $2)::text";

const OPERATION: &str = "write a mark into the log";

/// Writes a mark with the number of who waits for it, or without (a heartbeat), and commits it.
///
/// Gives the position of the mark itself, before that of its commit.
///
/// # Errors
/// Those of the conversation with PostgreSQL. Whether the mark was written is then not known.
pub async fn emit_mark(client: &Client, token: Option<u64>) -> Result<Lsn, Error> {
    let token = token.map(|token| token.to_string()).unwrap_or_default();
    let values: [(&(dyn ToSql + Sync), Type); 2] = [(&PREFIX, Type::TEXT), (&token, Type::TEXT)];
    let row = Error::within_patience(OPERATION, client.query_typed_one(EMIT, &values)).await?;
    let lsn: &str = row.try_get(1).map_err(Error::query(OPERATION))?;
    lsn.parse().map_err(|_| Error::Answer { operation: OPERATION })
}
