//! What stands in the way of following a database, and the exact SQL that mends it.
//!
//! Reads only, but for [`fix`], which does what cannot hurt: it makes the publication, adds tables that can be followed,
//! makes the event trigger, and sets the replica identity of partitions to that of their root. It never sets FULL where
//! a publication has a column list (updates would start to fail), and never touches the server's configuration.

mod audit;
mod emit;
mod role;
mod server;
mod slots;
mod tables;

use std::time::Duration;

use tokio_postgres::Client;

use super::catalog::{Candidate, candidates};
use super::event_trigger;
use super::publication::{self, Found};
use super::{Connection, Error, Settings};
use crate::event::TableName;

pub use crate::report::{Finding, Remedy, Report, Safety, Severity};

/// Reads and writes of a table queue behind a statement that waits to lock it against them: for no longer than this.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// What is to be checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The publication and its tables.
    pub publication: publication::Config,
    /// The replication slot.
    pub slot: String,
    /// The audit log's table, if it has one.
    pub audit: Option<TableName>,
    /// The roles of those who come with a token, or without one.
    pub roles: Vec<String>,
}

/// Looks at everything.
///
/// # Errors
/// If it could not look: the server is away, or refuses.
pub async fn run(settings: &Settings, config: &Config) -> Result<Report, Error> {
    let mut session = Connection::open(settings).await?;
    look(session.client_mut(), config).await.map_err(Error::query("look at the database"))
}

async fn look(client: &mut Client, config: &Config) -> Result<Report, tokio_postgres::Error> {
    let mut report = Report::default();
    let trigger = event_trigger::standing(client).await?;
    let transaction = client.transaction().await?;
    let name = &config.publication.publication;
    let server = server::look(&transaction, &mut report).await?;
    if server == server::Release::TooOld {
        // What is asked from here on, the release may not have.
        return Ok(report);
    }
    let found = Found::look(&transaction, name).await?;
    role::look(&transaction, found.as_ref(), &mut report).await?;
    emit::look(&transaction, &config.roles, &mut report).await?;
    slots::look(&transaction, &config.slot, &mut report).await?;
    let candidates: Vec<Candidate> = candidates(&transaction, name).await?;
    tables::look(&transaction, config, found.as_ref(), &candidates, &mut report).await?;
    if let Some(table) = &config.audit {
        audit::look(&transaction, table, name, &mut report).await?;
    }
    match trigger {
        event_trigger::Standing::Present => {
            report.add(Severity::Fine, "event trigger", "changed definitions are told in the stream");
        }
        event_trigger::Standing::Possible => {
            report.add(
                Severity::Note,
                "event trigger",
                "not there yet; the server makes it at start, as `tidegate check --fix` does, and polls the catalog besides",
            );
        }
        event_trigger::Standing::NotAllowed => report.add(
            Severity::Note,
            "event trigger",
            "this role may not make one; changed definitions are noticed by polling the catalog",
        ),
    }
    transaction.commit().await?;
    Ok(report)
}

/// What [`fix`] did, statement by statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Fixed {
    /// Statements that were run.
    pub done: Vec<String>,
    /// Statements that PostgreSQL refused.
    pub left: Vec<Left>,
}

/// A statement that PostgreSQL refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The statement.
    pub sql: String,
    /// PostgreSQL's word: something is locked, or another role's.
    pub reason: String,
}

/// Does what can be done safely; what PostgreSQL refuses stops nothing else.
///
/// # Errors
/// Those of the conversation. That a user's own publication cannot be followed is none here; [`run`] tells of it.
pub async fn fix(settings: &Settings, config: &Config) -> Result<Fixed, Error> {
    let mut session = Connection::open(settings).await?;
    let client = session.client_mut();
    let mut fixed = Fixed::default();
    for sql in
        tables::leaf_identities(client, config).await.map_err(Error::query("look at the partitions"))?
    {
        match patiently(client, &sql).await {
            Ok(()) => fixed.done.push(sql),
            Err(error) => match error.as_db_error().map(|error| error.message().to_owned()) {
                Some(reason) => fixed.left.push(Left { sql, reason }),
                None => return Err(Error::query("set a partition's replica identity")(error)),
            },
        }
    }
    match publication::ensure(client, &config.publication).await {
        Ok(report) => tables::tell(&config.publication.publication, &report, &mut fixed),
        Err(publication::Error::Unusable { .. }) => {}
        Err(publication::Error::Postgres(error)) => return Err(error),
    }
    if event_trigger::ensure(client).await? == event_trigger::Outcome::Created {
        fixed.done.push("create event trigger tidegate_schema …;".into());
    }
    Ok(fixed)
}

/// Runs a statement that locks a table against all others: whoever waits for it holds up the application.
async fn patiently(client: &mut Client, sql: &str) -> Result<(), tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    let timeout = format!("set local lock_timeout = {}", LOCK_TIMEOUT.as_millis());
    transaction.batch_execute(&timeout).await?;
    transaction.batch_execute(sql).await?;
    transaction.commit().await
}
