//! One change to 5,000 WebSockets on one shape, from a commit in PostgreSQL.
//!
//! Cost model: the change is decoded, matched and encoded once. A delivery is an entry in an outbox, a task woken, a
//! head (the reader's own `id` and cursor) put before the shared bytes, and one `write`, which on loopback also carries
//! the bytes through TCP to the receiver's socket. The `write` is most of it, and the bare writer pays it too: it has
//! the same bytes framed already and only writes them, socket after socket. With 16 changes waiting, one `write` carries
//! them all.
//!
//! Beside it: that bare writer, to as many sockets of the same child process, in turns. Only this process's CPU time
//! counts, not PostgreSQL's nor the clients'.

#[allow(dead_code, reason = "each bench uses its part of what they share")]
mod support;

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};

use support::child::Child;
use support::database::Database;
use support::frames::server_frame;
use support::measure::{Stopwatch, count, median, verdict};
use support::server::Server;
use support::swarm;
use tidegate::telemetry::Metrics;
use tokio_postgres::Client;

const SOCKETS: u64 = 5_000;
const ROUNDS: usize = 7;
/// Changes in a round, one after another.
const ONE_BY_ONE: u64 = 8;
/// Changes that wait at once, and how often in a round.
const WAITING: u64 = 16;
const BURSTS: u64 = 4;

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
    let mut swarm = swarm::start();
    let subscribe = r#"{"type":"subscribe","id":"s","table":"public.entries"}"#;
    swarm.ask(&format!("open ours {} {SOCKETS} {subscribe}", server.address));
    let mut ours = Ours { client: database.client().await, sent: 0, last: 0 };
    // The first change tells how large the frames are that the bare writer has to write.
    let (frames, bytes) = ours.changes(&mut swarm, 1).await;
    let length = usize::try_from(bytes / frames).expect("a short frame");
    let mut bare = Bare::connect(&mut swarm, length);

    let (mut single, mut written, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        single.push(ours.round(&mut swarm, ONE_BY_ONE, 1).await);
        written.push(bare.round(&mut swarm, ONE_BY_ONE));
        waiting.push(ours.round(&mut swarm, BURSTS, WAITING).await);
    }
    let (single, written, waiting) = (median(&single), median(&written), median(&waiting));
    println!("fanout: frames of {length} bytes to {SOCKETS} sockets; CPU s a million deliveries:");
    println!(
        "fanout, one change: {single:.2} against {written:.2} of a bare writer = {:.2} × (reach 1.5, {})",
        single / written,
        verdict(single <= 1.5 * written),
    );
    println!(
        "fanout, {WAITING} waiting: {waiting:.2} = {:.2} of one alone (reach 0.2, {})",
        waiting / single,
        verdict(waiting <= 0.2 * single),
    );
    drop(swarm);
    server.stop().await;
}

/// The server's side: what it sends comes from commits.
struct Ours {
    client: Client,
    /// Changes so far; each has gone to every socket.
    sent: u64,
    last: u64,
}

impl Ours {
    /// Commits `count` changes at once, and waits until all clients have them.
    async fn changes(&mut self, swarm: &mut Child, count: u64) -> (u64, u64) {
        let (first, last) = (self.last + 1, self.last + count);
        let sql = format!(
            "do $$ begin for id in {first}..{last} loop
                insert into public.entries values (id, 1, 'a title', repeat('x', 100), 'open', 1); commit;
            end loop; end $$"
        );
        self.client.batch_execute(&sql).await.expect("rows");
        self.last = last;
        self.sent += count * SOCKETS;
        swarm::expect(swarm, "ours", self.sent)
    }

    /// CPU seconds a million deliveries.
    async fn round(&mut self, swarm: &mut Child, times: u64, at_once: u64) -> f64 {
        let stopwatch = Stopwatch::start();
        for _ in 0..times {
            self.changes(swarm, at_once).await;
        }
        stopwatch.stop().cpu.as_secs_f64() * 1e6 / count(times * at_once * SOCKETS)
    }
}

/// Sockets, and nothing but.
struct Bare {
    sockets: Vec<TcpStream>,
    frame: Vec<u8>,
    sent: u64,
}

impl Bare {
    fn connect(swarm: &mut Child, length: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        swarm.tell(&format!("bare bare {address} {SOCKETS}"));
        let accept = |_| {
            let (socket, _) = listener.accept().expect("the child connects");
            socket.set_nodelay(true).expect("a TCP socket");
            socket.set_nonblocking(true).expect("a TCP socket");
            socket
        };
        let sockets = (0..SOCKETS).map(accept).collect();
        swarm.hear();
        Self { sockets, frame: server_frame(length), sent: 0 }
    }

    /// CPU seconds a million deliveries.
    fn round(&mut self, swarm: &mut Child, times: u64) -> f64 {
        let stopwatch = Stopwatch::start();
        for _ in 0..times {
            for socket in &mut self.sockets {
                let written = socket.write(&self.frame).expect("a small frame fits an empty socket");
                assert_eq!(written, self.frame.len(), "a small frame fits an empty socket");
            }
            self.sent += SOCKETS;
            swarm::expect(swarm, "bare", self.sent);
        }
        stopwatch.stop().cpu.as_secs_f64() * 1e6 / count(times * SOCKETS)
    }
}
