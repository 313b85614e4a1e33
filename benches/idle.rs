//! 15,000 connected WebSockets that say nothing: what each of them keeps resident.
//!
//! Cost model: a connection is a task with the state of its conversation, tungstenite's read buffer, an outbox, an entry
//! in the runtime's poll, timer and connection limits, and a reader in the hub. With a filter of its own it is a shape
//! too: the filter, its place in the index, its selection. The kernel's socket buffers are not in these numbers.
//!
//! Beside it: a plain `tokio-tungstenite` server with a read buffer of 4 KiB that does nothing but read. Each subject is
//! a process of its own, so that no one finds memory that another one left.

#[allow(dead_code, reason = "each bench uses its part of what they share")]
mod support;

use std::io::BufRead as _;
use std::time::Duration;

use futures_util::StreamExt as _;
use support::child::Child;
use support::database::Database;
use support::measure::{count, resident_bytes, verdict};
use support::server::Server;
use support::swarm;
use tidegate::shutdown::Scope;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

const SOCKETS: u64 = 15_000;
/// How long the last openers may take to be gone.
const SETTLED: Duration = Duration::from_secs(1);

fn main() {
    if swarm::is_this() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let arguments: Vec<_> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "--serve", url] => runtime.block_on(serve(url)),
        [_, "--plain"] => runtime.block_on(plain()),
        _ => runtime.block_on(run()),
    }
}

async fn run() {
    let database = Database::start().await;
    let url = database.url();
    let subscribe = r#"{"type":"subscribe","id":"s","table":"public.entries""#;
    let shared = measure(&["--serve", &url], Some(&format!("{subscribe}}}")));
    let filtered = measure(&["--serve", &url], Some(&format!(r#"{subscribe},"where":"board_id = {{n}}"}}"#)));
    let plain = measure(&["--plain"], None);
    println!(
        "idle: {SOCKETS} sockets; resident KiB each, against {plain:.2} of a plain tokio-tungstenite server:"
    );
    for (name, kilobytes, reach) in [("one shape", shared, 8.0), ("a filter each", filtered, 10.0)] {
        println!(
            "idle, {name}: {kilobytes:.2} = {:.2} × (reach {reach} KiB, {})",
            kilobytes / plain,
            verdict(kilobytes <= reach),
        );
    }
}

/// Resident KiB a socket.
fn measure(server: &[&str], subscribe: Option<&str>) -> f64 {
    let mut server = Child::start(server);
    let address = server.hear();
    let mut swarm = swarm::start();
    let subscribe = subscribe.unwrap_or(r#"{"type":"subscribe"}"#);
    let before = resident_bytes(server.pid());
    swarm.ask(&format!("open all {address} {SOCKETS} {subscribe}"));
    std::thread::sleep(SETTLED);
    let after = resident_bytes(server.pid());
    count(after - before) / 1024.0 / count(SOCKETS)
}

/// The server, until its parent is done.
async fn serve(url: &str) {
    let server = Server::start(url).await;
    println!("{}", server.address);
    wait_for_parent().await;
    server.stop().await;
}

/// Reads from whoever connects, until its parent is done.
async fn plain() {
    rlimit::increase_nofile_limit(u64::MAX).expect("the limit can be raised to its hard value");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("{}", listener.local_addr().expect("bound"));
    let scope = Scope::new();
    let sessions = scope.clone();
    scope.spawn("accept", async move {
        while let Ok((stream, _)) = listener.accept().await {
            sessions.spawn("session", converse(stream));
        }
    });
    wait_for_parent().await;
}

async fn converse(stream: TcpStream) {
    let config = WebSocketConfig::default().read_buffer_size(4 * 1024);
    let mut socket = accept_async_with_config(stream, Some(config)).await.expect("the child upgrades");
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() {
            let subscribed = r#"{"type":"subscribed"}"#;
            futures_util::SinkExt::send(&mut socket, subscribed.into()).await.expect("the child reads");
        }
    }
}

async fn wait_for_parent() {
    let wait = || std::io::stdin().lock().lines().for_each(drop);
    tokio::task::spawn_blocking(wait).await.expect("no panic");
}
