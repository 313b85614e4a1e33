//! From a slot's backlog to a second process: read, decoded, found visible, encoded, confirmed by the broker's stream,
//! read there, decoded, netted, matched against 100 shapes, encoded, offered. PostgreSQL, the broker and both processes
//! share the machine.
//!
//! Cost model: to what `drain` costs come an encoding, a message of at most 128 KiB into the broker and out of it twice
//! (the writer reads what it wrote), a decoding in each process. The broker's own work is by message and by byte.
//!
//! Beside it: `pg_recvlogical` to `/dev/null` on a copy of the slot, and with `--debezium` the engine, as in `drain`.
//! Then a third process reads the stream's whole backlog, with nothing else at work.

#[allow(dead_code, reason = "each bench uses its part of what they share")]
mod support;

use std::time::Duration;

use support::backlog::{
    CONTENTS, Content, PUBLICATION, attach, copy_slot, drop_slot, peer, publish, read, recvlogical, tables,
    write,
};
use support::child::Child;
use support::database::{Database, connect};
use support::measure::{Cost, Stopwatch, count, resident_bytes, verdict};
use tidegate::cli::demo::broker::{self, Broker};
use tidegate::config::{Config, Layers};
use tidegate::event::Lsn;
use tidegate::hub;
use tidegate::journal::{self, Ledger, Parts};
use tidegate::postgres::{Pool, Settings};
use tidegate::shutdown::Scope;
use tidegate::telemetry::Metrics;
use tidegate::{relay, source};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::{mpsc, watch};
use tokio_postgres::Client;

const ROUNDS: usize = 3;
/// The argument that makes this program a second server's hub.
const HUB: &str = "--hub";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    match arguments.iter().position(|argument| argument == HUB) {
        Some(at) => runtime.block_on(second(&arguments[at + 1], &arguments[at + 2], &arguments[at + 3])),
        None => runtime.block_on(run()),
    }
}

async fn run() {
    drop(METRICS.set(Metrics::install().expect("the first in this process")));
    let broker = tokio::task::spawn_blocking(|| Broker::start(&broker::Options::default())).await;
    let broker = broker.expect("no panic").expect("RabbitMQ is installed");
    let database = Database::start().await;
    let mut client = database.client().await;
    publish(&mut client).await;
    let debezium = std::env::args().any(|argument| argument == "--debezium");
    // As in `cargo bench --bench journal -- 'of 10'`.
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    for (index, content) in CONTENTS.iter().enumerate().filter(|(_, content)| content.name.contains(&wanted))
    {
        let end = write(&client, content, index).await;
        measure(&database, &broker, &client, content, end).await;
        if debezium {
            peer(&database, &client, content).await;
        }
        drop_slot(&client, "origin").await;
    }
}

async fn measure(database: &Database, broker: &Broker, client: &Client, content: &Content, end: Lsn) {
    let stream = |round: usize| format!("journal.{round}.{}", content.name);
    for round in 0..ROUNDS {
        let slot = copy_slot(client, &format!("theirs_{round}")).await;
        let theirs = recvlogical(&database.url(), &slot, end).as_secs_f64();
        drop_slot(client, &slot).await;
        let slot = copy_slot(client, &format!("ours_{round}")).await;
        let (url, stream) = (broker.url("/"), stream(round));
        let Cost { wall, cpu } = first(&database.url(), &url, &stream, &slot, end).await;
        drop_slot(client, &slot).await;
        let rate = count(content.rows) / wall.as_secs_f64();
        println!(
            "journal, {}: {:.2} s from the log to the second process against {theirs:.2} s of pg_recvlogical = {:.2} ×; \
             {rate:.0} rows/s (reach 100,000, {}); the writer took {:.2} CPU s a million rows",
            content.name,
            wall.as_secs_f64(),
            wall.as_secs_f64() / theirs,
            verdict(rate >= 100_000.0),
            cpu.as_secs_f64() * 1e6 / count(content.rows),
        );
        let (messages, bytes) =
            (metric("tidegate_journal_messages_total"), metric("tidegate_journal_message_bytes_total"));
        println!(
            "  so far {messages} messages, {:.1} bytes a row",
            count(bytes) / count(content.rows) / count(round as u64 + 1)
        );
        let mut child = start(&database.url(), &url, &stream);
        let answer = child.ask(&format!("{end}"));
        println!(
            "  a third process read the backlog in {answer} s (reach 5), and holds {} MB",
            resident_bytes(child.pid()) >> 20
        );
    }
}

fn metric(name: &str) -> u64 {
    let text = METRICS.get().expect("installed").render();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().expect("a number"))
}

static METRICS: std::sync::OnceLock<Metrics> = std::sync::OnceLock::new();

fn config(url: &str, broker: &str, stream: &str) -> Config {
    Layers::default()
        .flag("bench", "postgres.url", url)
        .flag("bench", "journal.backend", "rabbitmq")
        .flag("bench", "journal.url", broker)
        .flag("bench", "journal.stream", stream)
        // So that a process which starts reads all of it.
        .flag("bench", "journal.memory_bytes", (4_u64 << 30).to_string())
        .load()
        .expect("the defaults, and known keys")
}

fn limits(config: &Config) -> hub::Config {
    hub::Config { transaction_bytes: config.hub.transaction_bytes, frame_bytes: config.session.frame_bytes }
}

fn start(url: &str, broker: &str, stream: &str) -> Child {
    Child::start(&[HUB, url, broker, stream])
}

/// The slot's holder, and beside it the process that is waited for.
async fn first(url: &str, broker: &str, stream: &str, slot: &str, end: Lsn) -> Cost {
    let mut config = config(url, broker, stream);
    // The writer's own window is none of what is measured.
    config.journal.memory_bytes = 64 << 20;
    let settings = Settings::parse(url).expect("the cluster's own URL");
    let pool = Pool::new(settings.clone(), 4, config.postgres.connect_timeout).expect("a pool");
    let core = Scope::new();
    let (confirmed, confirmations) = watch::channel(Lsn::ZERO);
    let Parts { writer, follower, journal, submissions, .. } = journal::open(
        config.journal.bounds(),
        config.journal.backend(config.event_bytes()),
        Ledger::new(confirmed),
        &core,
    );
    let _hub = hub::start(limits(&config), follower, journal, None, &core);
    let mut child = start(url, broker, stream);
    let (deliveries, delivered) = mpsc::channel(64);
    let stopwatch = Stopwatch::start();
    child.tell(&format!("{end}"));
    core.spawn("relay", relay::run(pool, delivered, submissions, (writer, None), core.clone()));
    let source = source::Config::new(settings, PUBLICATION, slot);
    let closing = core.clone();
    core.spawn("source", async move {
        let outcome = source::run(source, deliveries, confirmations, closing.closing()).await;
        outcome.expect("the slot can be read");
    });
    let child = tokio::task::spawn_blocking(move || child.hear()).await.expect("no panic");
    let cost = stopwatch.stop();
    _ = child;
    _ = core.drain(Duration::from_secs(10)).await;
    cost
}

/// The second process: a hub with a reader for each shape. Answers each position with the seconds until it was there.
async fn second(url: &str, broker: &str, stream: &str) {
    let metrics = Metrics::install().expect("the first in this process");
    drop(METRICS.set(metrics));
    let config = config(url, broker, stream);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let Some(end) = lines.next_line().await.expect("readable") else { return };
    let end: Lsn = end.parse().expect("a position");
    let stopwatch = Stopwatch::start();
    let core = Scope::new();
    let (confirmed, _) = watch::channel(Lsn::ZERO);
    let Parts { follower, journal, .. } = journal::open(
        config.journal.bounds(),
        config.journal.backend(config.event_bytes()),
        Ledger::new(confirmed),
        &core,
    );
    let hub = hub::start(limits(&config), follower, journal, None, &core);
    let mut client = connect(url).await;
    let tables = tables(&mut client).await;
    hub.set_tables(tables.clone()).await.expect("the hub runs");
    let mut moves = hub.moves();
    moves.wait_for(|tail| tail.incarnation.0 > 0).await.expect("the hub runs");
    let outbox = attach(&hub, &tables, &config).await;
    core.spawn("reader", read(outbox, core.clone()));
    moves.wait_for(|tail| tail.position.commit_lsn >= end).await.expect("the hub runs");
    println!("{:.2}", stopwatch.stop().wall.as_secs_f64());
    // Until it is let go.
    drop(lines.next_line().await);
}
