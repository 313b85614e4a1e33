//! A deploy: the only server is replaced by a new one, and 10,000 clients come back with their cursors, all at once.
//!
//! Cost model: a client is a TCP connection, an upgrade, one `subscribe` with a cursor, and the frames that it missed. The
//! records are in the window, which the new process has read back from the stream, or in one reading of the stream
//! that all share. PostgreSQL is asked for nothing.
//!
//! Beside it: the same clients opening the same subscriptions, from now on, with nothing missed.

#[allow(dead_code, reason = "each bench uses its part of what they share")]
mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::{Value, json};
use support::database::Database;
use support::measure::{count, verdict};
use support::server::Server;
use support::swarm;
use tidegate::cli::demo::broker::{self, Broker};
use tidegate::telemetry::Metrics;

const CLIENTS: u64 = 10_000;
/// Commits that everybody misses, each of one row of everybody's.
const MISSED: u64 = 20;

fn main() {
    if swarm::is_this() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run());
}

async fn run() {
    let _metrics = Metrics::install().expect("the first in this process");
    let broker = tokio::task::spawn_blocking(|| Broker::start(&broker::Options::default())).await;
    let broker = broker.expect("no panic").expect("RabbitMQ is installed");
    let database = Database::start().await;
    let client = database.client().await;
    let url = broker.url("/");
    for (name, window) in [("in the window", "67108864"), ("behind the window", "1048576")] {
        let settings = [
            ("journal.backend", "rabbitmq"),
            ("journal.url", &*url),
            ("journal.memory_bytes", window),
            ("hub.transaction_bytes", "1048576"),
            ("http.max_connections", "15000"),
        ];
        let server = Server::start_with(&database.url(), &settings).await;
        let cursor = cursor(server.address);
        for n in 0..MISSED {
            let sql = format!("insert into public.entries values ({}, 1, 'a', 'b', 'open', 1)", random() + n);
            client.batch_execute(&sql).await.expect("a row");
        }
        if name.starts_with("behind") {
            // Of nobody's board, and more than the window holds; over and over, so that it is more than what is read back.
            for _ in 0..1_500 {
                let sql = format!(
                    "insert into public.entries select {} + n, 2, 'a', repeat('x', 3000), 'open', 1
                     from generate_series(1, 20) n",
                    random()
                );
                client.batch_execute(&sql).await.expect("rows");
            }
        }
        server.stop().await;
        let server = Server::start_with(&database.url(), &settings).await;
        measure(name, &server, &cursor);
        server.stop().await;
        client.batch_execute("truncate public.entries").await.expect("a table");
    }
}

fn random() -> u64 {
    fastrand::u64(1..1 << 40)
}

fn measure(name: &str, server: &Server, cursor: &Value) {
    let mut swarm = swarm::start();
    let live = json!({
        "type": "subscribe", "id": "s", "table": "public.entries", "where": "board_id = 1", "snapshot": false,
    });
    let since = Instant::now();
    swarm.ask(&format!("open live {} {CLIENTS} {live}", server.address));
    let live = since.elapsed().as_secs_f64();
    drop(swarm);
    let mut swarm = swarm::start();
    let since = Instant::now();
    swarm.ask(&format!("open resumed {} {CLIENTS} {cursor}", server.address));
    let (frames, _) = swarm::expect(&mut swarm, "resumed", CLIENTS * MISSED);
    let took = since.elapsed().as_secs_f64();
    assert_eq!(frames, CLIENTS * MISSED, "each is told once");
    println!(
        "resumes, {name}: {CLIENTS} clients caught up with {MISSED} transactions each in {took:.2} s (reach 10, {}), \
         {:.0} frames/s; to subscribe without a cursor took them {live:.2} s",
        verdict(took <= 10.0),
        count(frames) / took,
    );
}

/// A `subscribe` that goes on from here.
fn cursor(address: SocketAddr) -> Value {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let path = "/v1/stream?table=public.entries&where=board_id%20%3D%201&snapshot=true";
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("it reads");
    let (mut shape, mut lines) = (Value::Null, BufReader::new(stream).lines());
    loop {
        let line = lines.next().expect("it goes on").expect("text");
        let Some(frame) = line.strip_prefix("data: ") else { continue };
        let frame: Value = serde_json::from_str(frame).expect("JSON");
        if frame["type"] == "subscribed" {
            shape = frame["shape"].clone();
        }
        if frame["type"] == "snapshot" && frame["cursor"].is_string() {
            return json!({
                "type": "subscribe", "id": "s", "table": "public.entries", "where": "board_id = 1",
                "cursor": frame["cursor"], "shape": shape,
            });
        }
    }
}
