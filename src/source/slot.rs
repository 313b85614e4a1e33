//! The slot: found or made, waited for while someone else reads it, and judged.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::sleep;

use super::connection::{Connection, TextRow};
use super::{Config, Continuity, Error, Life, Reason};
use crate::event::Lsn;
use crate::postgres::{quote, quote_literal};

/// The first version with the messages that are asked for.
const OLDEST_VERSION: u32 = 140_000;
/// The first version with options in parentheses.
const OPTIONS_VERSION: u32 = 150_000;
/// A slot in use is looked at this often, give or take half: several may wait for it.
const POLL: Duration = Duration::from_millis(500);

/// `object_in_use`: somebody was faster.
const IN_USE: &str = "55006";
/// `duplicate_object`: somebody was faster.
const DUPLICATE: &str = "42710";
/// `undefined_object`: somebody has dropped it meanwhile.
const UNDEFINED: &str = "42704";

/// A stream that has started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    pub(super) system: System,
    pub(super) continuity: Continuity,
    /// Where the stream starts.
    pub(super) starts_at: Lsn,
    /// Where the slot stood.
    pub(super) slot_lsn: Lsn,
}

/// One cluster in one line of its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct System {
    /// The system identifier: one a cluster, its standbys included.
    pub id: u64,
    /// The timeline: a new one after each failover and each recovery to a point in time.
    pub timeline: u32,
    /// `server_version_num`, as in 150018.
    pub version: u32,
    /// How much of the log is on disk.
    pub flushed: Lsn,
}

/// Takes hold of the slot and starts its stream.
///
/// Waits, as long as it takes, for whoever else reads from the slot. Starts at `safe` where that is beyond the slot's
/// own position and of the same life. With `recreate` the slot is dropped first.
///
/// # Errors
/// [`Error::UnfitSlot`] and [`Error::NoPublication`] with what mends them; else what the connection says.
pub(super) async fn acquire(
    connection: &mut Connection,
    config: &Config,
    life: Option<&Life>,
    safe: Lsn,
    recreate: bool,
) -> Result<Opening, Error> {
    let mut system = identify(connection).await?;
    check_publication(connection, config).await?;
    let mut told = false;
    let mut useless = recreate;
    let mut made = Made::Before;
    loop {
        match state(connection, config).await? {
            State::Missing => {
                if create(connection, config, system.version).await? && made == Made::Before {
                    made = Made::Now;
                }
                useless = false;
                continue;
            }
            State::Held { pid } => {
                // Whoever made it, it is someone else who reads from it now.
                made = Made::Before;
                if !std::mem::replace(&mut told, true) {
                    tracing::info!(slot = config.slot, pid, "the slot is in use: waiting for it");
                }
            }
            State::Lost => useless = true,
            State::Ready { confirmed } if !useless => {
                // Whoever read from it until now has read less than what is on disk now.
                system = identify(connection).await?;
                let continuity = continuity(life, &system, made, confirmed);
                let starts_at = match continuity {
                    Continuity::Continued => confirmed.max(safe),
                    Continuity::Reset(_) => confirmed,
                };
                match connection.stream(&start(config, starts_at)).await {
                    Ok(()) => return Ok(Opening { system, continuity, starts_at, slot_lsn: confirmed }),
                    Err(error) if matches!(error.code(), Some(IN_USE | UNDEFINED)) => {}
                    Err(error) => return Err(error),
                }
            }
            State::Ready { .. } => {}
        }
        if useless && drop_slot(connection, config).await? {
            tracing::warn!(slot = config.slot, "dropped a slot that cannot be read any more");
            (useless, made) = (false, Made::Anew);
            continue;
        }
        sleep(POLL.mul_f64(0.5 + fastrand::f64())).await;
    }
}

/// Who made the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    /// It was there.
    Before,
    /// We did, where none was.
    Now,
    /// We did, in the place of one that was of no use.
    Anew,
}

/// Whether anything may lie between what the life before has delivered and what this slot gives.
fn continuity(life: Option<&Life>, system: &System, made: Made, confirmed: Lsn) -> Continuity {
    match (life, made) {
        (Some(life), _) if life.system_id != system.id => Continuity::Reset(Reason::SystemChanged),
        (Some(life), _) if life.timeline != system.timeline => Continuity::Reset(Reason::TimelineChanged),
        // A crash takes back what was not on disk, and none of that was ever sent.
        (Some(life), _) if life.delivered > system.flushed => Continuity::Reset(Reason::LogWentBack),
        (_, Made::Anew) | (Some(_), Made::Now) => Continuity::Reset(Reason::SlotLost),
        (None, Made::Now) => Continuity::Reset(Reason::SlotCreated),
        (Some(life), Made::Before) if confirmed > life.told => Continuity::Reset(Reason::SlotAdvanced),
        (_, Made::Before) => Continuity::Continued,
    }
}

/// Which server this is.
pub(super) async fn identify(connection: &mut Connection) -> Result<System, Error> {
    const BROKEN: Error = Error::Unexpected("to IDENTIFY_SYSTEM");
    let rows = connection
        .query(
            "tell its version",
            "select current_setting('server_version_num'), current_setting('server_version')",
        )
        .await?;
    let [number, text] = columns(&rows).ok_or(BROKEN)?;
    let version = number.parse().map_err(|_| BROKEN)?;
    if version < OLDEST_VERSION {
        return Err(Error::Version { version: text.into() });
    }
    let rows = connection.query("identify itself", "IDENTIFY_SYSTEM").await?;
    let [id, timeline, flushed] = columns(&rows).ok_or(BROKEN)?;
    Ok(System {
        id: id.parse().map_err(|_| BROKEN)?,
        timeline: timeline.parse().map_err(|_| BROKEN)?,
        version,
        flushed: flushed.parse().map_err(|_| BROKEN)?,
    })
}

/// The first columns of the only row, none of them null.
fn columns<const N: usize>(rows: &[TextRow]) -> Option<[&str; N]> {
    let row = rows.first()?.get(..N)?;
    let texts: Vec<&str> = row.iter().map(Option::as_deref).collect::<Option<_>>()?;
    texts.try_into().ok()
}

async fn check_publication(connection: &mut Connection, config: &Config) -> Result<(), Error> {
    let name = &config.publication;
    let sql = format!("select 1 from pg_publication where pubname = {}", quote_literal(name));
    if connection.query("tell of the publication", &sql).await?.is_empty() {
        return Err(Error::NoPublication { publication: name.clone() });
    }
    Ok(())
}

/// The slot as it is now.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Missing,
    /// Invalidated: the log that it needs is gone.
    Lost,
    Held {
        pid: i32,
    },
    Ready {
        confirmed: Lsn,
    },
}

/// What is read of `pg_replication_slots`; the last two columns came with PostgreSQL 16 and 17.
#[derive(Debug, Deserialize)]
struct SlotRow {
    plugin: Option<String>,
    database: Option<String>,
    active_pid: Option<i32>,
    confirmed_flush_lsn: Option<String>,
    wal_status: Option<String>,
    #[serde(default)]
    conflicting: Option<bool>,
    #[serde(default)]
    invalidation_reason: Option<String>,
}

async fn state(connection: &mut Connection, config: &Config) -> Result<State, Error> {
    let sql = format!(
        "select to_jsonb(s) from pg_replication_slots s where slot_name = {}",
        quote_literal(&config.slot)
    );
    let rows = connection.query("tell of the slot", &sql).await?;
    if rows.is_empty() {
        return Ok(State::Missing);
    }
    let [json] = columns(&rows).ok_or(Error::Unexpected("about the slot"))?;
    let row = serde_json::from_str(json).map_err(|_| Error::Unexpected("about the slot"))?;
    judge(&row, config)
}

fn judge(row: &SlotRow, config: &Config) -> Result<State, Error> {
    let unfit = |what: String| {
        let slot = config.slot.clone();
        let sql = format!("select pg_drop_replication_slot({})", quote_literal(&slot));
        Err(Error::UnfitSlot { slot, what, sql })
    };
    let (Some(plugin), Some(database)) = (&row.plugin, &row.database) else {
        return unfit("is a physical one, for a standby".into());
    };
    // Somebody is just making it.
    if plugin.is_empty() {
        return Ok(State::Held { pid: row.active_pid.unwrap_or_default() });
    }
    if plugin != "pgoutput" {
        return unfit(format!("is for the plugin `{plugin}`, not `pgoutput`"));
    }
    let ours = config.settings.database();
    if database != ours {
        return unfit(format!("belongs to the database `{database}`, not `{ours}`"));
    }
    if let Some(pid) = row.active_pid {
        return Ok(State::Held { pid });
    }
    let invalid = row.wal_status.as_deref() == Some("lost")
        || row.conflicting == Some(true)
        || row.invalidation_reason.is_some();
    if invalid {
        return Ok(State::Lost);
    }
    let confirmed = row.confirmed_flush_lsn.as_deref().and_then(|text| text.parse().ok());
    confirmed
        .map(|confirmed| State::Ready { confirmed })
        .ok_or(Error::Unexpected("about the slot: it has no position"))
}

/// Makes the slot. Returns whether it was us, and not somebody else at the same time.
async fn create(connection: &mut Connection, config: &Config, version: u32) -> Result<bool, Error> {
    let options = if version < OPTIONS_VERSION { "NOEXPORT_SNAPSHOT" } else { "(SNAPSHOT 'nothing')" };
    let sql = format!("CREATE_REPLICATION_SLOT {} LOGICAL pgoutput {options}", quote(&config.slot));
    tracing::info!(slot = config.slot, "creating the slot, once the transactions that run now have ended");
    match connection.query_patiently("create the slot", &sql).await {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some(DUPLICATE) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Drops the slot. Returns whether it is gone; not, while someone reads from it.
async fn drop_slot(connection: &mut Connection, config: &Config) -> Result<bool, Error> {
    let sql = format!("DROP_REPLICATION_SLOT {}", quote(&config.slot));
    match connection.query("drop the slot", &sql).await {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some(UNDEFINED) => Ok(true),
        Err(error) if error.code() == Some(IN_USE) => Ok(false),
        Err(error) => Err(error),
    }
}

fn start(config: &Config, starts_at: Lsn) -> String {
    format!(
        "START_REPLICATION SLOT {} LOGICAL {starts_at} \
         (proto_version '1', publication_names {}, messages 'true')",
        quote(&config.slot),
        quote_literal(&quote(&config.publication))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::Settings;

    fn config() -> Config {
        let settings = Settings::parse("postgres://me@localhost/shop").expect("valid");
        Config::new(settings, "tide\"gate", "tidegate")
    }

    fn judged(json: &str) -> Result<State, String> {
        let row = serde_json::from_str(json).expect("a row");
        judge(&row, &config()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_slot_is_judged_by_its_row() {
        let ready = r#"{"plugin": "pgoutput", "database": "shop", "active_pid": null, "wal_status": "reserved",
                        "confirmed_flush_lsn": "16/B374D848", "slot_type": "logical"}"#;
        assert_eq!(judged(ready), Ok(State::Ready { confirmed: Lsn::new(0x16_B374_D848) }));
        assert_eq!(judged(&ready.replacen("null", "77", 1)), Ok(State::Held { pid: 77 }));
        assert_eq!(judged(&ready.replace("reserved", "lost")), Ok(State::Lost));
        let begun = ready.replace("pgoutput", "").replacen("null", "77", 1);
        assert_eq!(judged(&begun), Ok(State::Held { pid: 77 }), "another process is making it");
        let invalidated =
            ready.replace("\"slot_type\"", "\"invalidation_reason\": \"wal_removed\", \"slot_type\"");
        assert_eq!(judged(&invalidated), Ok(State::Lost));
    }

    #[test]
    fn an_unfit_slot_is_refused_with_the_sql_that_mends_it() {
        let row = |plugin: &str, database: &str| {
            judged(&format!(r#"{{"plugin": {plugin}, "database": {database}}}"#)).expect_err("unfit")
        };
        for (message, what) in [
            (row("\"wal2json\"", "\"shop\""), "is for the plugin `wal2json`, not `pgoutput`"),
            (row("\"pgoutput\"", "\"other\""), "belongs to the database `other`, not `shop`"),
            (row("null", "null"), "is a physical one, for a standby"),
        ] {
            assert!(message.contains(what), "{message}");
            assert!(message.contains("select pg_drop_replication_slot('tidegate')"), "{message}");
        }
    }

    #[test]
    fn names_are_quoted_for_the_server_and_for_the_plugin() {
        assert_eq!(
            start(&config(), Lsn::new(255)),
            "START_REPLICATION SLOT \"tidegate\" LOGICAL 0/FF \
             (proto_version '1', publication_names '\"tide\"\"gate\"', messages 'true')"
        );
    }

    #[test]
    fn a_life_goes_on_only_in_the_same_history_and_where_nobody_else_has_read() {
        let system = System { id: 1, timeline: 2, version: 150_000, flushed: Lsn::new(200) };
        let life =
            Life { system_id: 1, timeline: 2, told: Lsn::new(100), delivered: Lsn::new(200), settled: true };
        let reset = Continuity::Reset;
        for (life, made, confirmed, expected) in [
            (None, Made::Before, 500, Continuity::Continued),
            (None, Made::Now, 500, reset(Reason::SlotCreated)),
            (None, Made::Anew, 500, reset(Reason::SlotLost)),
            (Some(life), Made::Before, 100, Continuity::Continued),
            (Some(life), Made::Before, 50, Continuity::Continued),
            (Some(life), Made::Before, 101, reset(Reason::SlotAdvanced)),
            (Some(life), Made::Now, 100, reset(Reason::SlotLost)),
            (Some(Life { delivered: Lsn::new(201), ..life }), Made::Before, 50, reset(Reason::LogWentBack)),
            (Some(Life { timeline: 1, ..life }), Made::Before, 100, reset(Reason::TimelineChanged)),
            (Some(Life { system_id: 9, ..life }), Made::Now, 100, reset(Reason::SystemChanged)),
        ] {
            assert_eq!(continuity(life.as_ref(), &system, made, Lsn::new(confirmed)), expected, "{life:?}");
        }
    }
}
