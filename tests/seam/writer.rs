use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::{Client, Error, NoTls};
use tokio_util::sync::CancellationToken;

/// How a writer goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A few statements, committed at once.
    Short,
    /// Some more over a while, with savepoints.
    Long,
}

/// Whether it is known in which order transactions were committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commits {
    /// It is not: nobody waits for another, and several commit at once.
    AsTheyCome,
    /// Half of them draw a number as the last thing that they do, one after another: the next one draws when the one
    /// before has been committed. The others come in between as they will.
    InTurns,
}

/// Held from a number to the end of its transaction.
const TAKE_TURN: &str = "select pg_advisory_xact_lock(7); insert into turns default values;";
/// Keys that are written to: few enough that writers meet.
const KEYS: i64 = 300;

/// Commits until told to stop, and tells how often it did. A server that is away is waited for.
pub(crate) async fn write(
    url: String,
    (kind, commits): (Kind, Commits),
    synchronous: bool,
    stop: CancellationToken,
) -> u64 {
    let mut committed = 0;
    while !stop.is_cancelled() {
        let Ok((client, connection)) = tokio_postgres::connect(&url, NoTls).await else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let session = format!(
            "set synchronous_commit = {}; set deadlock_timeout = '20ms'; set lock_timeout = '2s'",
            if synchronous { "on" } else { "off" }
        );
        let writing = async {
            // Whatever goes wrong with a session, the next one goes on.
            if client.batch_execute(&session).await.is_ok() {
                while !stop.is_cancelled() && !client.is_closed() {
                    committed += u64::from(transaction(&client, kind, commits).await);
                }
            }
        };
        tokio::select! {
            _ = connection => {}
            () = writing => {}
        }
    }
    committed
}

/// Whether it was committed: deadlocks, collisions of keys and changes of mind take it back.
async fn transaction(client: &Client, kind: Kind, commits: Commits) -> bool {
    let written = match kind {
        Kind::Short => short(client).await,
        Kind::Long => long(client).await,
    };
    if written.is_err() || fastrand::u32(..10) == 0 {
        // A session that cannot even do that is at its end.
        _ = client.batch_execute("rollback").await;
        return false;
    }
    let turn = if commits == Commits::InTurns && fastrand::bool() { TAKE_TURN } else { "" };
    let ended = client.batch_execute(&format!("{turn} commit")).await;
    if ended.is_err() {
        _ = client.batch_execute("rollback").await;
    }
    ended.is_ok()
}

async fn short(client: &Client) -> Result<(), Error> {
    if fastrand::u32(..500) == 0 {
        let truncate = format!("begin; set local lock_timeout = '100ms'; truncate {}", table());
        client.batch_execute(&truncate).await?;
    } else {
        client.batch_execute("begin").await?;
    }
    let mut statements = String::new();
    for _ in 0..fastrand::u32(1..4) {
        statement(&mut statements);
    }
    client.batch_execute(&statements).await
}

async fn long(client: &Client) -> Result<(), Error> {
    client.batch_execute("begin").await?;
    for _ in 0..fastrand::u32(2..8) {
        let mut statements = String::from("savepoint s;");
        statement(&mut statements);
        statement(&mut statements);
        if fastrand::u32(..3) == 0 {
            statements.push_str("rollback to savepoint s;");
            statement(&mut statements);
        }
        client.batch_execute(&statements).await?;
        sleep(Duration::from_millis(fastrand::u64(..40))).await;
    }
    Ok(())
}

fn table() -> &'static str {
    if fastrand::u32(..3) == 0 { "ticks" } else { "cards" }
}

/// One thing that happens to one row, or to several.
fn statement(out: &mut String) {
    let (table, id, other) = (table(), fastrand::i64(1..=KEYS), fastrand::i64(1..=KEYS));
    let (board, place) = (fastrand::i32(0..5), fastrand::i32(0..100));
    // Beyond 2 kB a value is stored apart, and left out of updates that do not touch it.
    let body = match fastrand::u32(..4) {
        0 => format!("repeat(md5('{other}'), {})", fastrand::u32(100..400)),
        1 => "''".to_owned(),
        _ => "null".to_owned(),
    };
    let insert = format!(
        "insert into {table} values ({id}, {board}, nextval('versions'), {place}, 'n{place}', {body})"
    );
    let written = match fastrand::u32(..100) {
        0..30 => write!(
            out,
            "{insert} on conflict (id) do update
               set board = excluded.board, version = nextval('versions'), body = excluded.body;"
        ),
        30..50 => {
            write!(out, "update {table} set board = {board}, version = nextval('versions') where id = {id};")
        }
        50..65 => write!(
            out,
            "update {table} set place = {place}, note = null, version = nextval('versions') where id = {id};"
        ),
        65..75 => write!(out, "delete from {table} where id = {id};"),
        75..82 => write!(out, "delete from {table} where id = {id}; {insert};"),
        82..92 => write!(
            out,
            // With keys alone in the old image an insert would lack a large value, and that starts the reader over.
            "update {table} set id = {other}, version = nextval('versions')
             where id = {id} and not exists (select from {table} where id = {other})
               and (tableoid = 'cards'::regclass or body is null or random() < 0.05);"
        ),
        92..97 => write!(
            out,
            "update {table} set place = place + 1, version = nextval('versions')
             where id between {id} and {id} + 30;"
        ),
        _ => write!(
            out,
            "insert into {table} select i, {board}, nextval('versions'), {place}, 'many', {body}
             from generate_series({id}, {id} + 40) i on conflict do nothing;"
        ),
    };
    written.expect("strings take what is written");
}
