//! From commit to client: 1,000 commits a second, each matching one of 100 subscribers.
//!
//! Cost model: a commit wakes a walsender, which decodes it and sends it: a bare replication reader has it then. We ask
//! PostgreSQL whether it shows the transaction yet (a round trip, shared by all that came meanwhile), journal it, match
//! it, and write it to a socket: three tasks woken, two sockets crossed.
//!
//! Beside it: that bare reader, on a slot of its own, at the same commits. Both are clients in the same child process,
//! and both take the moment of the commit from the stream: PostgreSQL's own clock, at the commit record.
//!
//! `cargo bench --bench latency -- --rabbitmq` commits 500 times a second and puts a server beside whose journal is a
//! RabbitMQ stream: each change goes to the broker, is confirmed, and is read again before it is matched.

#[allow(dead_code, reason = "each bench uses its part of what they share")]
mod support;

use std::time::{Duration, Instant};

use support::child::Child;
use support::database::Database;
use support::measure::{median, verdict};
use support::server::Server;
use support::swarm;
use tidegate::cli::demo::broker::{self, Broker};
use tidegate::telemetry::Metrics;

const SUBSCRIBERS: u64 = 100;
const ROUNDS: usize = 7;
const COMMITS: u64 = 3_000;
const PAUSE: Duration = Duration::from_millis(1);

fn main() {
    if swarm::is_this() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run());
}

async fn run() {
    let _metrics = Metrics::install().expect("the first in this process");
    let database = Database::start().await;
    let server = Server::start(&database.url()).await;
    let streaming = std::env::args().any(|argument| argument == "--rabbitmq");
    let pause = if streaming { PAUSE * 2 } else { PAUSE };
    let beside = if streaming { Some(Beside::start(&database).await) } else { None };
    let client = database.client().await;
    let slot = "select pg_create_logical_replication_slot('bare', 'pgoutput')";
    client.execute(slot, &[]).await.expect("a free slot");
    let mut swarm = swarm::start();
    let subscribe = r#"{"type":"subscribe","id":"s","table":"public.entries","where":"board_id = {n}"}"#;
    swarm.ask(&format!("open ours {} {SUBSCRIBERS} {subscribe}", server.address));
    swarm.ask(&format!("replica {} bare tidegate", database.url()));

    if let Some(Beside { server, .. }) = &beside {
        swarm.ask(&format!("open stream {} {SUBSCRIBERS} {subscribe}", server.address));
    }

    let mut committed = 0;
    let (mut ours, mut bare, mut stream) = (Series::default(), Series::default(), Series::default());
    for round in 0..=ROUNDS {
        let (url, first) = (database.url(), committed);
        // On a thread of its own: whoever commits is no part of the server.
        std::thread::spawn(move || commit(&url, first, pause)).join().expect("no panic");
        committed += COMMITS;
        swarm::expect(&mut swarm, "ours", committed);
        if beside.is_some() {
            swarm::expect(&mut swarm, "stream", committed);
        }
        // The first round warms up.
        if round > 0 {
            ours.push(&mut swarm, "ours");
            bare.push(&mut swarm, "replica");
            if beside.is_some() {
                stream.push(&mut swarm, "stream");
            }
        } else {
            swarm.ask("clear");
        }
    }
    for (name, ours, bare, reach) in [("p50", &ours.p50, &bare.p50, 2.0), ("p99", &ours.p99, &bare.p99, 3.0)]
    {
        let (ours, bare) = (median(ours), median(bare));
        println!(
            "latency, {name}: {ours:.0} µs against {bare:.0} µs of a bare reader = {:.2} × (reach {reach}, {})",
            ours / bare,
            verdict(ours <= reach * bare),
        );
    }
    drop(swarm);
    server.stop().await;
    if let Some(Beside { server, .. }) = beside {
        let (stream, ours) = (median(&stream.p50), median(&ours.p50));
        println!(
            "latency, p50 with the journal in RabbitMQ: {stream:.0} µs against {ours:.0} µs in memory = {:.2} × \
             (reach 3, {})",
            stream / ours,
            verdict(stream <= 3.0 * ours),
        );
        server.stop().await;
    }
}

/// A server with its journal in a stream, and the broker.
struct Beside {
    server: Server,
    _broker: Broker,
}

impl Beside {
    async fn start(database: &Database) -> Self {
        let broker = tokio::task::spawn_blocking(|| Broker::start(&broker::Options::default())).await;
        let broker = broker.expect("no panic").expect("RabbitMQ is installed");
        let url = broker.url("/");
        let settings =
            [("postgres.slot", "tidegate_stream"), ("journal.backend", "rabbitmq"), ("journal.url", &*url)];
        Self { server: Server::start_with(&database.url(), &settings).await, _broker: broker }
    }
}

/// Percentiles of several rounds, in microseconds.
#[derive(Debug, Default)]
struct Series {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Series {
    fn push(&mut self, swarm: &mut Child, group: &str) {
        let answer = swarm.ask(&format!("delays {group}"));
        let numbers: Vec<f64> = answer.split(' ').map(|word| word.parse().expect("a number")).collect();
        let [_, p50, p99] = numbers[..] else { panic!("three numbers: {answer}") };
        self.p50.push(p50);
        self.p99.push(p99);
    }
}

/// Commits at an even pace; one that comes late is not waited for.
fn commit(url: &str, first: u64, pause: Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let client = support::database::connect(url).await;
        let insert = "insert into public.entries values ($1, $2, 'a title', repeat('x', 100), 'open', 1)";
        let insert = client.prepare(insert).await.expect("a statement");
        let started = Instant::now();
        for (number, id) in (0..).zip(first..first + COMMITS) {
            tokio::time::sleep_until((started + pause * number).into()).await;
            let (id, board) = (id.cast_signed(), (id * 37 % SUBSCRIBERS).cast_signed());
            client.execute(&insert, &[&id, &board]).await.expect("a row");
        }
    });
}
