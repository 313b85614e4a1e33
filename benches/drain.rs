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
use std::sync::Arc;
use std::time::Duration;

use support::backlog::{
    CONTENTS, Content, PUBLICATION, attach, copy_slot, drop_slot, peer, publish, read, recvlogical, tables,
    write,
};
use support::database::Database;
use support::measure::{Cost, Stopwatch, count, median, verdict};
use tidegate::config::Layers;
use tidegate::event::{Lsn, Table};
use tidegate::hub;
use tidegate::journal::{self, Ledger};
use tidegate::postgres::{Pool, Settings};
use tidegate::shutdown::Scope;
use tidegate::telemetry::Metrics;
use tidegate::{relay, source};
use tokio::sync::{mpsc, watch};
use tokio_postgres::Client;

const ROUNDS: usize = 5;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run());
}

async fn run() {
    let _metrics = Metrics::install().expect("the first in this process");
    let database = Database::start().await;
    let mut client = database.client().await;
    publish(&mut client).await;
    let tables = tables(&mut client).await;
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
        config.journal.backend(config.event_bytes()),
        Ledger::new(confirmed),
        &core,
    );
    let limits = hub::Config {
        transaction_bytes: config.hub.transaction_bytes,
        frame_bytes: config.session.frame_bytes,
    };
    let hub = hub::start(limits, follower, journal, None, &core);
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
