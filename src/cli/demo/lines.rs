//! Lines between a page and the servers, for pages that want to see what a dead network does to them.
//!
//! ```text
//!  page ──▶ 127.0.0.1:PORT ── relay ──▶ server        one port for each server, one set of ports for each page
//!                               ▲
//!  Control ── up, down ─────────┘
//! ```
//!
//! A line that is down is no closed connection: what is sent goes nowhere, and nobody is told, as when a cable is
//! pulled. When it is up again, connections from before are reset, as in a network that came back with another
//! address, and new ones go through.

mod relay;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::shutdown::Scope;
use relay::Traffic;

/// Each has a port for each server; a page needs one line.
const MOST: usize = 64;
/// How long a line may have no connection before it goes: its page has been closed.
const IDLE: Duration = Duration::from_mins(10);
/// How often those are looked for.
const LOOK: Duration = Duration::from_secs(30);

/// Whether a line carries anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Weather {
    up: bool,
    /// How often it went down: a connection knows by it that there was an outage, however short.
    outages: u64,
}

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// There are as many as there may be.
    #[error("there are {MOST} lines already")]
    TooMany,
    /// There is no port for it.
    #[error("no free port on 127.0.0.1")]
    Port(#[source] io::Error),
}

/// All lines of a demo. Clones are the same.
#[derive(Clone)]
pub(super) struct Lines(Arc<Inner>);

struct Inner {
    servers: Vec<SocketAddr>,
    lines: Mutex<BTreeMap<String, Line>>,
    scope: Scope,
}

struct Line {
    addresses: Vec<SocketAddr>,
    weather: watch::Sender<Weather>,
    traffic: Arc<Traffic>,
    scope: Scope,
}

/// How a line stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Standing {
    /// What it is called.
    pub(super) id: String,
    /// Where it is listened, in the order of the servers.
    pub(super) addresses: Vec<SocketAddr>,
    /// Whether it carries anything.
    pub(super) up: bool,
    /// How many connections go through it, or wait in it.
    pub(super) connections: usize,
}

impl Lines {
    /// Lines to these servers, until `scope` closes.
    pub(super) fn to(servers: Vec<SocketAddr>, scope: &Scope) -> Self {
        Self(Arc::new(Inner { servers, lines: Mutex::default(), scope: scope.child() }))
    }

    /// Opens a new one.
    pub(super) async fn open(&self) -> Result<Standing, Error> {
        let mut listeners = Vec::new();
        for server in &self.0.servers {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Error::Port)?;
            listeners.push((listener.local_addr().map_err(Error::Port)?, listener, *server));
        }
        let line = Line {
            addresses: listeners.iter().map(|(address, ..)| *address).collect(),
            weather: watch::channel(Weather { up: true, outages: 0 }).0,
            traffic: Arc::new(Traffic::new()),
            scope: self.0.scope.child(),
        };
        let id = format!("{:016x}", fastrand::u64(..));
        let mut lines = self.0.lines.lock();
        if lines.len() >= MOST {
            return Err(Error::TooMany);
        }
        for (_, listener, server) in listeners {
            let port =
                relay::Port { listener, server, traffic: line.traffic.clone(), scope: line.scope.clone() };
            line.scope.spawn("line", port.carry(line.weather.subscribe()));
        }
        let standing = line.standing(&id);
        lines.insert(id, line);
        Ok(standing)
    }

    /// Takes a line down or up; `None` if there is no such line.
    pub(super) fn set(&self, id: &str, up: bool) -> Option<Standing> {
        let lines = self.0.lines.lock();
        let line = lines.get(id)?;
        line.weather.send_if_modified(|weather| {
            let changes = weather.up != up;
            weather.outages += u64::from(weather.up && !up);
            weather.up = up;
            changes
        });
        Some(line.standing(id))
    }

    /// Takes a line away, and resets what goes through it. Whether there was one.
    pub(super) fn close(&self, id: &str) -> bool {
        let line = self.0.lines.lock().remove(id);
        line.inspect(|line| line.scope.close()).is_some()
    }

    /// All of them.
    pub(super) fn standings(&self) -> Vec<Standing> {
        self.0.lines.lock().iter().map(|(id, line)| line.standing(id)).collect()
    }

    /// Takes lines away that nobody uses, until the scope closes.
    pub(super) async fn keep(self) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                // 1. Shutdown.
                () = self.0.scope.closing() => return,
                // 2. Time to look.
                _ = looks.tick() => self.forget(Instant::now()),
            }
        }
    }

    fn forget(&self, now: Instant) {
        self.0.lines.lock().retain(|_, line| {
            let stays = line.traffic.idle_since().is_none_or(|since| now.duration_since(since) < IDLE);
            if !stays {
                line.scope.close();
            }
            stays
        });
    }
}

impl Line {
    fn standing(&self, id: &str) -> Standing {
        Standing {
            id: id.to_owned(),
            addresses: self.addresses.clone(),
            up: self.weather.borrow().up,
            connections: self.traffic.connections(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;

    /// For what must come.
    const SOON: Duration = Duration::from_secs(10);
    /// For what must not.
    const WHILE: Duration = Duration::from_millis(200);

    /// A server that says back what it is told.
    async fn echo(scope: &Scope) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let connections = scope.clone();
        scope.spawn("echo", async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn("echo", async move {
                    let (mut read, mut write) = stream.split();
                    // Whoever resets it has heard enough.
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        address
    }

    async fn says_back(stream: &mut TcpStream, word: &[u8; 4]) -> bool {
        let mut back = [0; 4];
        let spoken = async {
            stream.write_all(word).await?;
            stream.read_exact(&mut back).await
        };
        timeout(WHILE * 10, spoken).await.is_ok_and(|spoken| spoken.is_ok()) && &back == word
    }

    #[tokio::test]
    async fn a_line_that_is_down_tells_nobody_and_resets_when_it_is_up_again() {
        let scope = Scope::new();
        let lines = Lines::to(vec![echo(&scope).await], &scope);
        let line = lines.open().await.expect("a port");
        let mut stream = TcpStream::connect(line.addresses[0]).await.expect("it listens");
        assert!(says_back(&mut stream, b"here").await);
        assert_eq!(lines.standings()[0].connections, 1);

        assert!(!lines.set(&line.id, false).expect("it is there").up);
        stream.write_all(b"lost").await.expect("the kernel takes it");
        let mut back = [0; 4];
        assert!(timeout(WHILE, stream.read(&mut back)).await.is_err(), "neither bytes nor an end");
        // The kernel takes a new connection, and nobody speaks on it.
        let mut late = TcpStream::connect(line.addresses[0]).await.expect("the kernel accepts");
        late.write_all(b"late").await.expect("the kernel takes it");
        assert!(timeout(WHILE, late.read(&mut back)).await.is_err(), "neither bytes nor an end");

        assert!(lines.set(&line.id, true).expect("it is there").up);
        let end = timeout(SOON, stream.read(&mut back)).await.expect("it ends");
        assert_eq!(end.expect_err("reset").kind(), io::ErrorKind::ConnectionReset);
        timeout(SOON, late.read_exact(&mut back)).await.expect("it goes through").expect("unharmed");
        assert_eq!(&back, b"late");
        let mut fresh = TcpStream::connect(line.addresses[0]).await.expect("it listens");
        assert!(says_back(&mut fresh, b"then").await);
    }

    #[tokio::test]
    async fn an_outage_that_is_over_at_once_resets_too() {
        let scope = Scope::new();
        let lines = Lines::to(vec![echo(&scope).await], &scope);
        let line = lines.open().await.expect("a port");
        let mut stream = TcpStream::connect(line.addresses[0]).await.expect("it listens");
        assert!(says_back(&mut stream, b"here").await);
        for up in [false, true] {
            lines.set(&line.id, up).expect("it is there");
        }
        let end = timeout(SOON, stream.read(&mut [0; 4])).await.expect("it ends");
        assert_eq!(end.expect_err("reset").kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_line_goes_when_it_is_closed_or_has_been_idle() {
        let scope = Scope::new();
        let lines = Lines::to(vec![echo(&scope).await], &scope);
        let [closed, idle, busy] =
            [lines.open().await, lines.open().await, lines.open().await].map(|line| line.expect("a port"));
        let mut stream = TcpStream::connect(busy.addresses[0]).await.expect("it listens");
        assert!(says_back(&mut stream, b"here").await);
        assert!(lines.close(&closed.id) && !lines.close(&closed.id));
        assert!(lines.set(&closed.id, true).is_none());
        lines.forget(Instant::now());
        assert_eq!(lines.standings().len(), 2);
        lines.forget(Instant::now() + IDLE);
        let left: Vec<_> = lines.standings().into_iter().map(|line| line.id).collect();
        assert_eq!(left, [busy.id]);
        for gone in [closed, idle] {
            let refused = async {
                while TcpStream::connect(gone.addresses[0]).await.is_ok() {
                    tokio::task::yield_now().await;
                }
            };
            timeout(SOON, refused).await.expect("its port is free again");
        }
        assert!(says_back(&mut stream, b"then").await, "the others go on");
    }

    #[tokio::test]
    async fn there_are_so_many_lines_and_no_more() {
        let scope = Scope::new();
        let lines = Lines::to(vec![([127, 0, 0, 1], 9).into()], &scope);
        for _ in 0..MOST {
            lines.open().await.expect("a port");
        }
        assert!(matches!(lines.open().await, Err(Error::TooMany)));
    }
}
