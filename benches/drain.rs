//! A slot's backlog: read, decoded, found visible, journalled, netted, matched against 100 shapes, encoded, offered.
//!
//! Cost model: a row costs PostgreSQL a decoding from the log and a message of the output plugin, and a walsender is
//! one process: that bounds both readers. It costs us a cut out of the socket's buffer, an entry in a chunk, a lookup
//! in the index, and one JSON object for the shape that it matches. A transaction costs a chunk, a record, a frame for
//! each shape that it touches, and a part of a visibility query. So rows in small transactions are the expensive ones.
//!
//! Beside it: `pg_recvlogical` to `/dev/null`, with the same plugin options on a copy of the same slot, in turns.
//!
//! `cargo bench --bench drain -- --debezium` also runs the program that `TIDEGATE_PEER_DEBEZIUM` names, as
//! `PROGRAM HOST PORT USER DATABASE SLOT PUBLICATION ROWS`, once for each content. Its engine, which decodes and does no
//! more, took 4.5 to 5.6 times the time, 20 to 33 times the CPU and 640 to 970 MB (see `docs/benchmarks.md`).

#[allow(dead_code, reason = "each bench uses its part of what they share")]
mod support;

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use support::database::Database;
use support::measure::{Cost, Stopwatch, count, median, verdict};
use tidegate::cli::demo::cluster::Binaries;
use tidegate::config::{Config, Layers};
use tidegate::event::{Lsn, Table};
use tidegate::hub::{self, Attach, Batch, Outbox, Projection, ReaderKey, Rows, Selection};
use tidegate::journal::Ledger;
use tidegate::postgres::publication::{self, Patterns};
use tidegate::postgres::{Pool, Settings, catalog};
use tidegate::protocol::Delivery;
use tidegate::shutdown::Scope;
use tidegate::telemetry::Metrics;
use tidegate::{filter, journal, relay, source};
use tokio::sync::{mpsc, watch};
use tokio_postgres::Client;

const PUBLICATION: &str = "bench";
const SHAPES: u64 = 100;
const ROUNDS: usize = 5;

struct Content {
    name: &'static str,
    rows: u64,
    /// Inserts rows from `$first` on.
    sql: &'static str,
}

/// Every row matches one of the shapes: `board_id` runs over their numbers.
const CONTENTS: [Content; 3] = [
    Content {
        name: "1 transaction of 1,000,000",
        rows: 1_000_000,
        sql: "insert into public.entries
            select id, id % 100, 'entry ' || id, repeat(md5(id::text), 2), 'open', id / 2.0
            from generate_series($first, $first + 999999) as id",
    },
    Content {
        name: "100,000 transactions of 10",
        rows: 1_000_000,
        sql: "do $$ begin for t in 0..99999 loop
            insert into public.entries
                select id, id % 100, 'entry ' || id, repeat(md5(id::text), 2), 'open', id / 2.0
                from generate_series($first + t * 10, $first + t * 10 + 9) as id;
            commit;
            end loop; end $$",
    },
    Content {
        name: "200,000 transactions of 1",
        rows: 200_000,
        sql: "do $$ begin for id in $first..$first + 199999 loop
            insert into public.entries
                values (id, id % 100, 'entry ' || id, repeat(md5(id::text), 2), 'open', id / 2.0);
            commit;
            end loop; end $$",
    },
];

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run());
}

async fn run() {
    let _metrics = Metrics::install().expect("the first in this process");
    let database = Database::start().await;
    let mut client = database.client().await;
    let publication = publication::Config {
        publication: PUBLICATION.to_owned(),
        tables: Patterns::parse(["public.*"]).expect("a pattern"),
    };
    let report = publication::ensure(&mut client, &publication).await.expect("a fresh database");
    assert_eq!(report.added.len(), 1, "the one table is published");
    let catalog = catalog::load(&mut client, PUBLICATION).await.expect("a fresh database");
    let tables: HashMap<u32, Arc<Table>> =
        catalog.tables().into_iter().map(|table| (table.oid, table.clone())).collect();
    let debezium = std::env::args().any(|argument| argument == "--debezium");
    // As in `cargo bench --bench drain -- 'of 10'`.
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    for (index, content) in CONTENTS.iter().enumerate().filter(|(_, content)| content.name.contains(&wanted))
    {
        let end = write(&client, content, index).await;
        measure(&database, &client, content, &tables, end).await;
        if debezium {
            peer(&database, &client, content).await;
        }
        drop_slot(&client, "origin").await;
    }
}

/// Writes the content behind a slot of its own, and one more row that shows its end.
async fn write(client: &Client, content: &Content, index: usize) -> Lsn {
    let first = index * 10_000_000;
    let slot = "select pg_create_logical_replication_slot('origin', 'pgoutput')";
    client.execute(slot, &[]).await.expect("a free slot");
    client.batch_execute("set synchronous_commit = off").await.expect("a setting");
    client.batch_execute(&content.sql.replace("$first", &first.to_string())).await.expect("rows");
    let end = client.query_one("select pg_current_wal_insert_lsn()::text", &[]).await.expect("a position");
    let behind = format!("insert into public.entries values ({}, -1, '', '', '', 0)", first + 9_999_999);
    client.batch_execute(&behind).await.expect("one more row");
    client.batch_execute("checkpoint").await.expect("a superuser");
    end.get::<_, String>(0).parse().expect("a position")
}

async fn measure(
    database: &Database,
    client: &Client,
    content: &Content,
    tables: &HashMap<u32, Arc<Table>>,
    end: Lsn,
) {
    let (mut ours, mut cpu, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let slot = copy_slot(client, &format!("theirs_{round}")).await;
        theirs.push(recvlogical(&database.url(), &slot, end).as_secs_f64());
        drop_slot(client, &slot).await;
        let slot = copy_slot(client, &format!("ours_{round}")).await;
        let Cost { wall, cpu: spent } = tidegate(&database.url(), &slot, tables, end).await;
        ours.push(wall.as_secs_f64());
        cpu.push(spent.as_secs_f64() * 1e6 / count(content.rows));
        drop_slot(client, &slot).await;
    }
    let (ours, cpu, theirs) = (median(&ours), median(&cpu), median(&theirs));
    println!(
        "drain, {}: {ours:.2} s against {theirs:.2} s of pg_recvlogical = {:.2} × (reach 1.15, {}); \
         {cpu:.2} CPU s a million rows (reach 2.5, {}); {:.0} rows/s",
        content.name,
        ours / theirs,
        verdict(ours / theirs <= 1.15),
        verdict(cpu < 2.5),
        count(content.rows) / ours,
    );
}

/// Source, relay, journal and hub as the server wires them, with its default limits, and a reader for each shape.
async fn tidegate(url: &str, slot: &str, tables: &HashMap<u32, Arc<Table>>, end: Lsn) -> Cost {
    let config = Layers::default().flag("bench", "postgres.url", url).load().expect("the defaults");
    let settings = Settings::parse(url).expect("the cluster's own URL");
    let pool = Pool::new(settings.clone(), 4, config.postgres.connect_timeout).expect("a pool");
    let (core, readers) = (Scope::new(), Scope::new());
    let (confirmed, confirmations) = watch::channel(Lsn::ZERO);
    let journal::Parts { writer, follower, journal, submissions, .. } = journal::open(
        config.journal.bounds(),
        config.journal.backend(&config.publish),
        Ledger::new(confirmed),
        &core,
    );
    let limits = hub::Config {
        transaction_bytes: config.hub.transaction_bytes,
        frame_bytes: config.session.frame_bytes,
    };
    let hub = hub::start(limits, follower, journal, &core);
    hub.set_tables(tables.clone()).await.expect("the hub runs");
    let outbox = attach(&hub, tables, &config).await;
    readers.spawn("reader", read(outbox, readers.clone()));

    let mut moves = hub.moves();
    let stopwatch = Stopwatch::start();
    let (deliveries, delivered) = mpsc::channel(64);
    core.spawn("relay", relay::run(pool, delivered, submissions, (writer, None), core.clone()));
    let source = source::Config::new(settings, PUBLICATION, slot);
    let closing = core.clone();
    core.spawn("source", async move {
        let outcome = source::run(source, deliveries, confirmations, closing.closing()).await;
        outcome.expect("the slot can be read");
    });
    moves.wait_for(|tail| tail.position.commit_lsn >= end).await.expect("the hub runs");
    let cost = stopwatch.stop();

    _ = core.drain(Duration::from_secs(10)).await;
    _ = readers.drain(Duration::from_secs(10)).await;
    cost
}

/// One connection with a subscription to each shape.
async fn attach(hub: &hub::Handle, tables: &HashMap<u32, Arc<Table>>, config: &Config) -> Arc<Outbox> {
    let table = tables.values().next().expect("the one table");
    let projection = Arc::new(Projection::new(table, (0..table.columns.len()).collect()));
    let outbox = Arc::new(Outbox::new(config.session.outbox_bytes * 64));
    for board in 0..SHAPES {
        let parsed = filter::parse(&format!("board_id = {board}"), &[]).expect("a filter");
        let filter = parsed.bind(table).and_then(|bound| bound.resolve(&[])).expect("its column is there");
        let rows = Rows::new(table.clone(), Some(Arc::new(filter)), projection.clone(), Delivery::Every);
        let key = ReaderKey(u32::try_from(board).expect("few"));
        let attached = hub.attach(Selection::Rows(rows), outbox.clone(), key, hub.here()).await;
        assert!(matches!(attached, Ok(Attach::Live)), "nothing has happened yet");
    }
    outbox
}

/// Takes what is offered and drops it.
async fn read(outbox: Arc<Outbox>, scope: Scope) {
    let mut batch = Batch::default();
    loop {
        tokio::select! {
            () = scope.closing() => return,
            () = outbox.filled() => {}
        }
        outbox.take(&mut batch);
        outbox.written(&batch.entries);
        batch.entries.clear();
        batch.notes.clear();
    }
}

/// `pg_recvlogical` to `/dev/null`, with the options that the source asks for.
fn recvlogical(url: &str, slot: &str, end: Lsn) -> Duration {
    let program = Binaries::find(None).expect("PostgreSQL is installed").folder().join("pg_recvlogical");
    let stopwatch = Stopwatch::start();
    let status = Command::new(program)
        .args(["--start", "--no-loop", "--file=/dev/null", "--option=proto_version=1"])
        .args(["--option=messages=true", &format!("--option=publication_names={PUBLICATION}")])
        .args([&format!("--dbname={url}"), &format!("--slot={slot}"), &format!("--endpos={end}")])
        .status();
    assert!(
        status.expect("PostgreSQL brings it").success(),
        "pg_recvlogical failed: its own words are above"
    );
    stopwatch.stop().wall
}

async fn peer(database: &Database, client: &Client, content: &Content) {
    let program = std::env::var_os("TIDEGATE_PEER_DEBEZIUM")
        .expect("with --debezium, TIDEGATE_PEER_DEBEZIUM names the program that runs it");
    let slot = copy_slot(client, "peer").await;
    let port = database.cluster.address().port().expect("it runs").to_string();
    println!("drain, {}, Debezium:", content.name);
    let status = Command::new(program)
        .args(["127.0.0.1", &port, "postgres", "bench", &slot, PUBLICATION, &content.rows.to_string()])
        .stdin(Stdio::null())
        .status();
    assert!(status.expect("it can be run").success(), "Debezium failed: its own words are above");
    drop_slot(client, &slot).await;
}

async fn copy_slot(client: &Client, name: &str) -> String {
    let copy = "select pg_copy_logical_replication_slot('origin', $1)";
    client.execute(copy, &[&name]).await.expect("a free slot");
    name.to_owned()
}

/// Drops a slot as soon as its walsender is gone.
async fn drop_slot(client: &Client, name: &str) {
    let drop = "select pg_drop_replication_slot(slot_name) from pg_replication_slots
        where slot_name = $1 and not active";
    while client.execute(drop, &[&name]).await.expect("a superuser") == 0 {
        tokio::task::yield_now().await;
    }
}
