use tokio_postgres::types::Type;
use tokio_postgres::{Row, Transaction};

use super::super::quote_literal;
use super::{Report, Safety, Severity};

/// A server of average size writes this much log in minutes: a reader that is further behind is not catching up.
const LAG_BYTES: i64 = 1 << 30;

/// The slot, and those in this database that carry our name and that nobody reads.
const SLOTS: &str = "
select s.slot_name = $1 as ours,
       s.slot_name,
       s.plugin::text,
       s.database::text,
       s.database is not distinct from current_database() as here,
       s.active,
       s.active_pid,
       s.wal_status,
       greatest(pg_wal_lsn_diff(here.lsn, s.confirmed_flush_lsn), 0)::int8 as lag_bytes,
       greatest(pg_wal_lsn_diff(here.lsn, s.restart_lsn), 0)::int8 as kept_bytes
  from pg_replication_slots s
 cross join (select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end as lsn) here
 where s.slot_name = $1
    or s.slot_name like 'tidegate%' and s.plugin = 'pgoutput' and s.database = current_database() and not s.active
 order by s.slot_name <> $1, s.slot_name";

const ROOM: &str = "
select current_setting('max_replication_slots')::int8 as most_slots,
       (select count(*) from pg_replication_slots) as slots,
       current_setting('max_wal_senders')::int8 as most_senders,
       (select count(*) from pg_stat_replication) as senders";

/// The slot, and the room for it.
pub(super) async fn look(
    transaction: &Transaction<'_>,
    slot: &str,
    report: &mut Report,
) -> Result<(), tokio_postgres::Error> {
    let rows = transaction.query_typed(SLOTS, &[(&slot, Type::TEXT)]).await?;
    let own = match rows.first() {
        Some(row) if row.try_get("ours")? => Some(row),
        _ => None,
    };
    room(transaction, own, report).await?;
    match own {
        Some(row) => own_slot(row, slot, report)?,
        None => report.add(
            Severity::Note,
            "slot",
            format!("`{slot}` is not there yet; the server makes it at start"),
        ),
    }
    for row in rows.iter().skip(usize::from(own.is_some())) {
        let name: &str = row.try_get("slot_name")?;
        let kept = bytes(row.try_get::<_, Option<i64>>("kept_bytes")?.unwrap_or_default());
        report.add(Severity::Warning, "slot", format!("nobody reads `{name}`, which keeps {kept} of log"));
        report.mend(Safety::ByHand, format!("select pg_drop_replication_slot({});", quote_literal(name)));
    }
    Ok(())
}

/// Slots and senders that are still free.
async fn room(
    transaction: &Transaction<'_>,
    own: Option<&Row>,
    report: &mut Report,
) -> Result<(), tokio_postgres::Error> {
    let row = transaction.query_typed_one(ROOM, &[]).await?;
    let active = own.map_or(Ok(false), |row| row.try_get("active"))?;
    for (subject, most, used, needed) in [
        ("max_replication_slots", "most_slots", "slots", own.is_none()),
        ("max_wal_senders", "most_senders", "senders", !active),
    ] {
        let (most, used): (i64, i64) = (row.try_get(most)?, row.try_get(used)?);
        if needed && used >= most {
            report.add(
                Severity::Fault,
                subject,
                format!("all {most} are in use: one more is needed; the server must be restarted after"),
            );
            report.mend(Safety::ByHand, format!("alter system set {subject} = {};", most + 10));
        } else {
            report.add(Severity::Fine, subject, format!("{used} of {most} in use"));
        }
    }
    Ok(())
}

fn own_slot(row: &Row, slot: &str, report: &mut Report) -> Result<(), tokio_postgres::Error> {
    let drop = format!("select pg_drop_replication_slot({});", quote_literal(slot));
    let plugin: Option<&str> = row.try_get("plugin")?;
    let database: Option<&str> = row.try_get("database")?;
    let lag: i64 = row.try_get::<_, Option<i64>>("lag_bytes")?.unwrap_or_default();
    let kept: i64 = row.try_get::<_, Option<i64>>("kept_bytes")?.unwrap_or_default();
    match (plugin, row.try_get("here")?) {
        (Some("pgoutput"), true) => {}
        (plugin, _) => {
            let what = match (plugin, database) {
                (Some(plugin), Some(database)) => {
                    format!("is one of plugin `{plugin}` in database `{database}`")
                }
                _ => "is a physical one".to_owned(),
            };
            report.add(
                Severity::Fault,
                "slot",
                format!(
                    "`{slot}` {what}: choose another name as `postgres.slot`, or drop it if nobody needs it"
                ),
            );
            report.mend(Safety::ByHand, drop);
            return Ok(());
        }
    }
    if row.try_get::<_, Option<&str>>("wal_status")? == Some("lost") {
        report.add(
            Severity::Warning,
            "slot",
            format!(
                "`{slot}` was lost with its log; the server makes a new one, and every subscriber starts over"
            ),
        );
        report.mend(Safety::ByHand, drop);
        return Ok(());
    }
    let behind = format!("is {} behind, and keeps {} of log", bytes(lag), bytes(kept));
    if let Some(pid) = row.try_get::<_, Option<i32>>("active_pid")? {
        let severity = if lag > LAG_BYTES { Severity::Warning } else { Severity::Fine };
        report.add(severity, "slot", format!("`{slot}` is read by process {pid}, {behind}"));
    } else {
        report.add(
            Severity::Warning,
            "slot",
            format!(
                "nobody reads `{slot}`; it {behind}: start the server, or drop it by `tidegate teardown`"
            ),
        );
        report.mend(Safety::ByHand, drop);
    }
    Ok(())
}

/// A size for people.
fn bytes(count: i64) -> String {
    let mut count = count;
    for unit in ["bytes", "kB", "MB", "GB"] {
        if count < 10_240 {
            return format!("{count} {unit}");
        }
        count /= 1024;
    }
    format!("{count} TB")
}
