use tokio_postgres::Transaction;

use super::{Report, Safety, Severity};

const SERVER: &str = "
select current_setting('server_version_num')::int4 as number,
       current_setting('server_version') as version,
       current_setting('wal_level') as wal_level,
       current_setting('max_slot_wal_keep_size') as keep_size,
       pg_is_in_recovery() as standby,
       (select pg_encoding_to_char(d.encoding) from pg_database d where d.datname = current_database()) as encoding";

/// PostgreSQL 14: the oldest release that is still maintained, and the first with all that is asked of it.
const OLDEST: i32 = 140_000;

/// Whether the server's release is one that can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Release {
    Known,
    TooOld,
}

/// The server as a whole.
pub(super) async fn look(
    transaction: &Transaction<'_>,
    report: &mut Report,
) -> Result<Release, tokio_postgres::Error> {
    let row = transaction.query_typed_one(SERVER, &[]).await?;
    let number: i32 = row.try_get("number")?;
    let version: &str = row.try_get("version")?;
    if number < OLDEST {
        report.add(
            Severity::Fault,
            "version",
            format!("PostgreSQL {version} is too old: 14 is needed at least"),
        );
        return Ok(Release::TooOld);
    }
    report.add(Severity::Fine, "version", format!("PostgreSQL {version}"));

    match row.try_get("wal_level")? {
        "logical" => report.add(Severity::Fine, "wal_level", "logical"),
        level => {
            report.add(
                Severity::Fault,
                "wal_level",
                format!("is `{level}`: the log does not say which rows changed; the server must be restarted after"),
            );
            report.mend(Safety::ByHand, "alter system set wal_level = logical;");
        }
    }
    if row.try_get("standby")? {
        report.add(
            Severity::Fault,
            "recovery",
            "this server is a standby: it takes no marks and no publication; name the primary's host",
        );
    }
    match row.try_get("encoding")? {
        "SQL_ASCII" => report.add(
            Severity::Fault,
            "encoding",
            "the database is in SQL_ASCII, so its text is in no known encoding; dump it and restore it into one in UTF8",
        ),
        encoding => report.add(Severity::Fine, "encoding", encoding),
    }
    match row.try_get("keep_size")? {
        "-1" => {
            report.add(
                Severity::Warning,
                "max_slot_wal_keep_size",
                "is unlimited: a slot that nobody reads keeps the log until the disk is full",
            );
            report.mend(
                Safety::ByHand,
                "alter system set max_slot_wal_keep_size = '10GB';\nselect pg_reload_conf();",
            );
        }
        size => report.add(Severity::Fine, "max_slot_wal_keep_size", size),
    }
    Ok(Release::Known)
}
