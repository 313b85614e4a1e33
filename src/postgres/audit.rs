//! The audit log's table, which is appended to and nothing else.

use tokio_postgres::Client;

use super::{Error, quote_table};
use crate::event::TableName;

const COLUMNS: &str = "(
    at timestamptz not null,
    session text not null,
    who text,
    address inet not null,
    action text not null,
    object text not null,
    allowed boolean not null,
    reason text
)";

/// One event.
#[derive(Clone, Debug)]
pub struct Row {
    /// When, in microseconds since 1970.
    pub at: i64,
    /// The session's name.
    pub session: String,
    /// Who asked, if that is known.
    pub who: Option<String>,
    /// From where: an IP address.
    pub address: String,
    /// What was asked for.
    pub action: &'static str,
    /// Of which table, channel or route.
    pub object: String,
    /// Whether they got it.
    pub allowed: bool,
    /// Why not.
    pub reason: Option<&'static str>,
}

/// The statement that makes the table.
pub fn definition(table: &TableName) -> String {
    format!("create table {} {COLUMNS};", quote_table(table))
}

/// The statement that appends to it, for [`append`]. It reads no column and returns nothing: to insert is all that the
/// role has to be allowed.
pub fn insert(table: &TableName) -> String {
    format!(
        "insert into {} (at, session, who, address, action, object, allowed, reason)
         select timestamptz 'epoch' + at * interval '1 microsecond', session, who, address::inet, action, object,
                allowed, reason
           from unnest($1::int8[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bool[], $8::text[])
             as event (at, session, who, address, action, object, allowed, reason)",
        quote_table(table)
    )
}

/// Appends events with a statement that [`insert`] made.
///
/// # Errors
/// Those of the conversation.
pub async fn append(client: &Client, insert: &str, rows: &[Row]) -> Result<(), Error> {
    let column = |of: fn(&Row) -> &str| rows.iter().map(of).collect::<Vec<_>>();
    let option = |of: fn(&Row) -> Option<&str>| rows.iter().map(of).collect::<Vec<_>>();
    let at: Vec<_> = rows.iter().map(|row| row.at).collect();
    let allowed: Vec<_> = rows.iter().map(|row| row.allowed).collect();
    let written = client
        .execute(
            insert,
            &[
                &at,
                &column(|row| &row.session),
                &option(|row| row.who.as_deref()),
                &column(|row| &row.address),
                &column(|row| row.action),
                &column(|row| &row.object),
                &allowed,
                &option(|row| row.reason),
            ],
        )
        .await;
    written.map(drop).map_err(Error::query("write the audit table"))
}
