//! What the stream carries: a publication of our own, kept to what was asked for, or one of the user's, never touched.
//!
//! **Publishing can break the user's writes**: PostgreSQL refuses updates and deletes on a published table whose rows
//! it cannot identify. So a table without a usable key is never added, and one that loses its key is taken out.
//!
//! A publication is ours if its comment says so. Any other is the user's: it is checked, and refused where following
//! it would be a lie.

mod error;
mod found;
mod patterns;
mod writers;

use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Transaction};

use crate::event::TableName;

use super::catalog::{Candidate, Refusal, Standing, candidates};
use super::{Error as PostgresError, quote, quote_literal, quote_table};

pub use error::{Error, Fault};
pub(super) use found::{Found, Owner};
pub use patterns::{InvalidPattern, Patterns};
pub use writers::{Writer, writers};

/// The comment that makes a publication ours. Text behind it is the user's own.
pub const MARK: &str = "managed by tidegate";

/// How long to wait for other processes of ours, and for a table to be taken out.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// Adding a table waits for DDL, `vacuum`, `analyze` and the making of indexes on it, never for reads and writes. Some of
/// that takes hours, and no other table is followed meanwhile: longer than this, and we come back later.
const ADDITION_TIMEOUT: Duration = Duration::from_secs(1);
const OPERATIONS: &str = "insert, update, delete, truncate";
const OPERATION: &str = "keep the publication";

/// Which publication, and which tables it shall hold if it is ours.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name.
    pub publication: String,
    /// Its tables.
    pub tables: Patterns,
}

/// What [`ensure`] found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Report {
    /// Whose publication it is.
    pub ownership: Ownership,
    /// Tables added now.
    pub added: Vec<TableName>,
    /// Tables taken out now: no longer asked for, or no longer usable.
    pub dropped: Vec<TableName>,
    /// Tables asked for that cannot be followed: those without a key, and others that were asked for by name.
    pub refused: Vec<Refusal>,
    /// Tables asked for that this role may not add, since it does not own them, or not the publication.
    pub not_owned: Vec<TableName>,
    /// Tables asked for that could not be added now; the next call may.
    pub deferred: Vec<Deferred>,
}

/// A table that could not be added to the publication now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deferred {
    /// The table.
    pub table: TableName,
    /// PostgreSQL's word: it is locked, most likely.
    pub reason: String,
}

/// Whose publication it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Ours, made now.
    Created,
    /// Ours, from before.
    Ours,
    /// Ours, and left changes out until now, since it was altered by hand.
    Mended,
    /// The user's own.
    Users,
}

/// Sees that the publication exists and holds what it should.
///
/// May be called again and again, by several processes at once: one after the other does it, and the last finds nothing
/// left to do.
///
/// # Errors
/// [`Error::Unusable`] if the publication is the user's own and cannot be followed; else those of the conversation.
pub async fn ensure(client: &mut Client, config: &Config) -> Result<Report, Error> {
    let failed = PostgresError::query(OPERATION);
    let mut transaction = client.transaction().await.map_err(failed)?;
    take_turns(&transaction, LOCK_TIMEOUT).await.map_err(failed)?;
    let publication = quote(&config.publication);
    let ownership = match Found::look(&transaction, &config.publication).await.map_err(failed)? {
        Some(found) if !found.is_kept() => {
            found.check(&transaction, &config.publication).await?;
            Ownership::Users
        }
        Some(found) => {
            if found.is_as_made() {
                Ownership::Ours
            } else {
                // Ours by its comment, and changed by hand: a stream that leaves something out would be a lie.
                let sql = format!(
                    "alter publication {publication} \
                     set (publish = {operations}, publish_via_partition_root = true)",
                    operations = quote_literal(OPERATIONS),
                );
                transaction.batch_execute(&sql).await.map_err(failed)?;
                Ownership::Mended
            }
        }
        None => {
            transaction.batch_execute(&creation(&config.publication)).await.map_err(failed)?;
            Ownership::Created
        }
    };
    let mut report = survey(&transaction, config).await.map_err(failed)?;
    report.ownership = ownership;
    if ownership == Ownership::Users {
        (report.added, report.dropped, report.not_owned) = (Vec::new(), Vec::new(), Vec::new());
    } else {
        report = keep(&mut transaction, config, report).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)?;
    Ok(report)
}

/// The statements that make the publication, empty.
pub(super) fn creation(publication: &str) -> String {
    format!(
        "create publication {name} with (publish = {operations}, publish_via_partition_root = true);\n\
         comment on publication {name} is {mark};",
        name = quote(publication),
        operations = quote_literal(OPERATIONS),
        mark = quote_literal(MARK),
    )
}

/// Drops the publication if it is ours.
///
/// # Errors
/// Those of the conversation with PostgreSQL.
pub async fn drop_ours(client: &mut Client, publication: &str) -> Result<Dropped, PostgresError> {
    let failed = PostgresError::query("drop the publication");
    let transaction = client.transaction().await.map_err(failed)?;
    take_turns(&transaction, LOCK_TIMEOUT).await.map_err(failed)?;
    let dropped = match Found::look(&transaction, publication).await.map_err(failed)? {
        None => Dropped::Absent,
        Some(found) if found.owner == Owner::User => Dropped::Users,
        Some(_) => {
            let sql = format!("drop publication {}", quote(publication));
            match transaction.batch_execute(&sql).await {
                Ok(()) => Dropped::Dropped,
                Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                    return Ok(Dropped::NotAllowed);
                }
                Err(error) => return Err(failed(error)),
            }
        }
    };
    transaction.commit().await.map_err(failed)?;
    Ok(dropped)
}

/// What [`drop_ours`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Dropped {
    /// It was ours and is gone.
    Dropped,
    /// There was none.
    Absent,
    /// It is the user's own and was left.
    Users,
    /// It belongs to another role: it was left.
    NotAllowed,
}

/// Has processes of ours change shared objects one after the other, until the end of the transaction.
pub(super) async fn take_turns(
    transaction: &Transaction<'_>,
    lock_timeout: Duration,
) -> Result<(), tokio_postgres::Error> {
    let sql = format!(
        "set local lock_timeout = {};\n\
         set local client_min_messages = error;\n\
         select pg_advisory_xact_lock(hashtextextended('tidegate: shared objects', 0));",
        lock_timeout.as_millis(),
    );
    transaction.batch_execute(&sql).await
}

/// What would have to be done.
async fn survey(transaction: &Transaction<'_>, config: &Config) -> Result<Report, tokio_postgres::Error> {
    let mut report = Report {
        ownership: Ownership::Ours,
        added: Vec::new(),
        dropped: Vec::new(),
        refused: Vec::new(),
        not_owned: Vec::new(),
        deferred: Vec::new(),
    };
    for Candidate { table, standing, verdict, .. } in candidates(transaction, &config.publication).await? {
        let wanted = config.tables.matches(&table);
        match (standing, verdict) {
            (Standing::Member, Ok(())) if !wanted => report.dropped.push(table),
            (Standing::Owned, Ok(())) if wanted => report.added.push(table),
            (Standing::Foreign, Ok(())) if wanted => report.not_owned.push(table),
            (_, Ok(())) => {}
            (standing, Err(refusal)) => {
                let named = matches!(refusal, Refusal::NoKey { .. }) || config.tables.names(&table);
                if wanted && named {
                    report.refused.push(refusal);
                }
                if standing == Standing::Member {
                    report.dropped.push(table);
                }
            }
        }
    }
    Ok(report)
}

/// Does it, and looks again: what is added is locked against losing its key from then to the end of the transaction.
async fn keep(
    transaction: &mut Transaction<'_>,
    config: &Config,
    mut report: Report,
) -> Result<Report, tokio_postgres::Error> {
    let publication = quote(&config.publication);
    let (mut dropped, mut kept) = (Vec::new(), Vec::new());
    for table in std::mem::take(&mut report.dropped) {
        let taken = take_out(transaction, &publication, &table).await?;
        if taken { &mut dropped } else { &mut kept }.push(table);
    }
    if !report.added.is_empty() {
        let sql = format!("set local lock_timeout = {}", ADDITION_TIMEOUT.as_millis());
        transaction.batch_execute(&sql).await?;
    }
    let mut added = Vec::with_capacity(report.added.len());
    for table in std::mem::take(&mut report.added) {
        // One that is gone by now, or locked, spoils no other.
        let savepoint = transaction.transaction().await?;
        let sql = format!("alter publication {publication} add table {}", quote_table(&table));
        match savepoint.batch_execute(&sql).await {
            Ok(()) => {
                savepoint.commit().await?;
                added.push(table);
            }
            Err(error) if error.as_db_error().is_some() => {
                savepoint.rollback().await?;
                let reason = error.as_db_error().map_or_else(String::new, |error| error.message().to_owned());
                report.deferred.push(Deferred { table, reason });
            }
            Err(error) => return Err(error),
        }
    }
    let again = survey(transaction, config).await?;
    for table in again.dropped {
        if !kept.contains(&table) && take_out(transaction, &publication, &table).await? {
            added.retain(|other| *other != table);
            dropped.push(table);
        }
    }
    (report.added, report.dropped) = (added, dropped);
    report.refused = again.refused;
    Ok(report)
}

/// Whether it was taken out: a publication that a superuser made is his to change.
async fn take_out(
    transaction: &mut Transaction<'_>,
    publication: &str,
    table: &TableName,
) -> Result<bool, tokio_postgres::Error> {
    let savepoint = transaction.transaction().await?;
    let sql = format!("alter publication {publication} drop table {}", quote_table(table));
    match savepoint.batch_execute(&sql).await {
        Ok(()) => savepoint.commit().await.map(|()| true),
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            savepoint.rollback().await?;
            tracing::warn!(%table, sql, "only the publication's owner may take this table out of it");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
