use std::fmt::Write as _;
use std::time::Duration;

use tokio_postgres::Row;

use crate::event::{Lsn, Snapshot};

use super::super::settings::pinned_locally;
use super::super::{quote, quote_table};
use super::Query;

/// The name is our own, in a transaction of our own.
const CURSOR: &str = "tidegate_snapshot";
/// A reader that goes leaves at most this many rows on their way; and the server is asked often enough for none of it
/// to show.
pub(super) const FETCH_ROWS: u64 = 1000;
/// A lock on the table is worth waiting for, but not for all of a snapshot's time: it waits behind DDL, and a client
/// is better told to come again.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// The reader keeps its own time and ends the transaction by it. Should it be frozen, the server does so a little
/// later: not at the same moment, since that cuts the line.
const IDLE_MARGIN: Duration = Duration::from_secs(10);

/// The first statement that takes a snapshot, and so the one that fixes the moment: the moment, and the table's
/// columns as they are now, each with the type that lies under its domains. No row if the name is not the table's.
pub(super) const VERIFY: &str = "
select pg_current_snapshot()::text,
       pg_current_wal_insert_lsn()::text,
       a.attname,
       (with recursive under (oid, base) as (
               select t.oid, t.typbasetype
                 from pg_type t
                where t.oid = a.atttypid
                union all
               select t.oid, t.typbasetype
                 from under
                 join pg_type t on t.oid = under.base
             )
        select u.oid from under u where u.base = 0)
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  join pg_attribute a on a.attrelid = c.oid
 where c.oid = $1
   and n.nspname = $2
   and c.relname = $3
   and a.attnum > 0
   and not a.attisdropped";

/// Begins the transaction and locks the table; neither takes a snapshot yet.
pub(super) fn begin(query: &Query<'_>) -> String {
    let timeout = millis(query.timeout);
    let idle_timeout = millis(query.timeout.saturating_add(IDLE_MARGIN));
    let lock_timeout = millis(query.timeout.min(LOCK_TIMEOUT));
    format!(
        "begin isolation level repeatable read, read only;\n\
         {pinned}\n\
         set local statement_timeout = {timeout};\n\
         set local idle_in_transaction_session_timeout = {idle_timeout};\n\
         set local lock_timeout = {lock_timeout};\n\
         set local cursor_tuple_fraction = 1;\n\
         set local row_security = off;\n\
         lock table {table} in access share mode;",
        pinned = pinned_locally(),
        table = quote_table(&query.table.name),
    )
}

/// Takes the next [`FETCH_ROWS`] rows.
pub(super) fn fetch() -> String {
    format!("fetch forward {FETCH_ROWS} from {CURSOR}")
}

/// As PostgreSQL's timeouts take it: at least 1, since 0 would be none at all.
fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX).max(1)
}

/// Whether the columns asked for are still there, of the same types.
pub(super) fn verify(query: &Query<'_>, rows: &[Row]) -> Result<bool, tokio_postgres::Error> {
    let mut now = Vec::with_capacity(rows.len());
    for row in rows {
        let (name, oid): (&str, Option<u32>) = (row.try_get(2)?, row.try_get(3)?);
        now.push((name, oid));
    }
    let columns = &query.table.columns;
    Ok(query
        .columns
        .iter()
        .filter_map(|index| columns.get(*index))
        .all(|column| now.iter().any(|(name, oid)| **name == *column.name && *oid == Some(column.kind.oid))))
}

/// The moment that the transaction reads at; `None` if the table is gone.
pub(super) fn moment(rows: &[Row]) -> Result<Option<(Snapshot, Lsn)>, tokio_postgres::Error> {
    let Some(row) = rows.first() else { return Ok(None) };
    let (snapshot, lsn): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
    Ok(snapshot.parse().ok().zip(lsn.parse().ok()))
}

/// The cursor's declaration, and the value of its last parameter if there is a limit.
pub(super) fn declare(query: &Query<'_>) -> (String, Option<String>) {
    let columns: Vec<String> = query
        .columns
        .iter()
        .filter_map(|index| query.table.columns.get(*index))
        .map(|column| quote(&column.name))
        .collect();
    let mut sql = format!(
        "declare {CURSOR} no scroll cursor for select {} from {}",
        columns.join(", "),
        quote_table(&query.table.name)
    );
    let row_filter = query.table.row_filter.as_ref().map(|filter| &*filter.0);
    let conditions = row_filter.into_iter().chain(query.condition.map(|condition| condition.sql));
    for (index, condition) in conditions.enumerate() {
        sql.push_str(if index == 0 { " where (" } else { " and (" });
        sql.push_str(condition);
        sql.push(')');
    }
    if let Some(order) = query.order {
        sql.push_str(" order by ");
        sql.push_str(order);
    }
    if query.limit.is_some() {
        let place = query.condition.map_or(0, |condition| condition.values.len()) + 1;
        let _ = write!(sql, " limit ${place}");
    }
    (sql, query.limit.map(|limit| limit.min(i64::MAX.unsigned_abs()).to_string()))
}
