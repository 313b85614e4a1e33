//! Taking away what the server left in the database: an abandoned slot keeps the log until the disk is full.
//!
//! Once and again gives the same: what is gone is no error.

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::event_trigger::{self, Removed};
use super::publication::{self, Dropped};
use super::{Connection, Error, Settings};

const SLOT: &str = "
select s.database::text,
       s.database is not distinct from current_database() as here,
       s.plugin::text,
       s.active_pid,
       a.application_name,
       host(a.client_addr) as client_addr
  from pg_replication_slots s
  left join pg_stat_activity a on a.pid = s.active_pid
 where s.slot_name = $1";

const DROP: &str = "select pg_drop_replication_slot($1)";

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Report {
    /// The replication slot.
    pub slot: Slot,
    /// The publication and the event trigger; `None` if they were left for whoever holds the slot.
    pub rest: Option<Rest>,
}

/// What became of the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// The publication.
    pub publication: Dropped,
    /// The event trigger and its function.
    pub event_trigger: Removed,
}

/// What became of the slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// It is gone.
    Dropped,
    /// There was none.
    Absent,
    /// A server reads it: it was left, and all else with it.
    InUse {
        /// The server's process in PostgreSQL.
        pid: i32,
        /// What it calls itself.
        application: String,
        /// Where it runs, or `local`.
        address: String,
    },
    /// It belongs to another database: it was left.
    Elsewhere {
        /// That database, or nothing for a physical slot.
        database: Option<String>,
    },
    /// It is somebody else's, who reads it by another output plugin: it was left.
    Foreign {
        /// That plugin.
        plugin: String,
    },
}

/// The output plugin that a slot of ours is for.
const PLUGIN: &str = "pgoutput";

/// Drops the slot if it is for `pgoutput` and nobody reads it, then the publication if it is ours, and the event trigger with its function.
///
/// # Errors
/// Those of the conversation with PostgreSQL. What was done by then stays done.
pub async fn run(settings: &Settings, publication: &str, slot: &str) -> Result<Report, Error> {
    let mut session = Connection::open(settings).await?;
    let client = session.client_mut();
    let slot = drop_slot(client, slot).await.map_err(Error::query("drop the replication slot"))?;
    if matches!(slot, Slot::InUse { .. }) {
        return Ok(Report { slot, rest: None });
    }
    // The trigger first: dropping the publication would make it speak.
    let event_trigger = event_trigger::remove(client, publication).await?;
    let publication = publication::drop_ours(client, publication).await?;
    Ok(Report { slot, rest: Some(Rest { publication, event_trigger }) })
}

async fn drop_slot(client: &Client, slot: &str) -> Result<Slot, tokio_postgres::Error> {
    match client.query_typed_opt(SLOT, &[(&slot, Type::TEXT)]).await? {
        None => return Ok(Slot::Absent),
        Some(row) => {
            if let Some(kept) = left_alone(&row)? {
                return Ok(kept);
            }
        }
    }
    match client.execute_typed(DROP, &[(&slot, Type::NAME)]).await {
        Ok(_) => Ok(Slot::Dropped),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_OBJECT) => Ok(Slot::Absent),
        // Taken between the look and the drop.
        Err(error) if error.code() == Some(&SqlState::OBJECT_IN_USE) => {
            match client.query_typed_opt(SLOT, &[(&slot, Type::TEXT)]).await? {
                Some(row) => left_alone(&row)?.ok_or(error),
                None => Ok(Slot::Absent),
            }
        }
        Err(error) => Err(error),
    }
}

fn left_alone(row: &Row) -> Result<Option<Slot>, tokio_postgres::Error> {
    if !row.try_get("here")? {
        return Ok(Some(Slot::Elsewhere { database: row.try_get("database")? }));
    }
    if let Some(plugin) = row.try_get::<_, Option<String>>("plugin")?.filter(|plugin| plugin != PLUGIN) {
        return Ok(Some(Slot::Foreign { plugin }));
    }
    let Some(pid) = row.try_get("active_pid")? else { return Ok(None) };
    Ok(Some(Slot::InUse {
        pid,
        application: row.try_get::<_, Option<String>>("application_name")?.unwrap_or_default(),
        address: row.try_get::<_, Option<String>>("client_addr")?.unwrap_or_else(|| "local".into()),
    }))
}
