//! Two server processes on one database and one journal: stop one, and its pages go on on the other.
//!
//! ```text
//!  cluster ──WAL──▶ the slot's holder ──▶ stream ─┬─▶ tidegate serve  http://127.0.0.1:8080/#peers=127.0.0.1:8081
//!                                                 └─▶ tidegate serve  http://127.0.0.1:8081/#peers=127.0.0.1:8080
//! ```
//!
//! They are children of this process, in process groups of their own: a Ctrl-C in the terminal reaches us alone, and
//! we stop them in order. When we are killed their guards end them. One that ends is not started again.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::future::select_all;
use tokio::process::{Child, Command};

use super::super::serve;
use super::machine::{self, Guard, Watch};
use super::{free_port, readiness, say};
use crate::config::{Config, Layers};
use crate::shutdown::{Scope, Signals};

/// What an error in the configuration calls what is set here.
const ORIGIN: &str = "tidegate demo --rabbitmq";
/// How much longer than its own grace period a server may take to end: what comes after it takes milliseconds.
const LAST_STEPS: Duration = Duration::from_secs(5);

/// Why the two servers do not run, or do not run any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no second port.
    #[error("no free port behind {first}")]
    Port {
        /// The first server's address.
        first: SocketAddr,
    },
    /// The process could not be started.
    #[error("cannot start a server process for {address}")]
    Start {
        /// Where it should listen.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nothing ends the process if this one is killed.
    #[error("cannot watch over a server process")]
    Guard(#[source] machine::Error),
    /// A process ended that had not served anybody.
    #[error("the server at {address} ended before it was ready ({status}); its log says why")]
    Unready {
        /// Where it should listen.
        address: SocketAddr,
        /// How it ended.
        status: ExitStatus,
    },
    /// Both were stopped.
    #[error("no server is left")]
    NoneLeft,
}

/// What both servers stand on.
pub(super) struct Behind {
    /// Their configuration, but for the journal and the address.
    pub(super) layers: Layers,
    /// The database's URL.
    pub(super) database: String,
    /// The broker's URL.
    pub(super) broker: String,
}

/// Runs both until told to stop: on the first signal in good order, on the second at once.
///
/// # Errors
/// [`Error`], and [`serve::Error::Forced`].
pub(super) async fn until_told(
    behind: Behind,
    config: &Config,
    scope: &Scope,
    mut signals: Signals,
) -> Result<(), super::Error> {
    let mut pair = Pair::start(&behind, config.http.listen)?;
    let ended = tokio::select! {
        biased;
        // 1. A request to stop.
        signal = signals.next() => {
            tracing::info!(%signal, "shutting down");
            Ok(())
        }
        () = scope.closing() => Ok(()),
        // 2. The servers' own end.
        error = pair.run(&behind) => Err(error.into()),
    };
    scope.close();
    let stopped = tokio::select! {
        biased;
        // 1. The end of both.
        () = pair.stop(config.shutdown.grace + LAST_STEPS) => Ok(()),
        // 2. A second request, which does not wait for it: they are killed as they are dropped.
        signal = signals.next() => Err(serve::Error::Forced(signal).into()),
    };
    ended.and(stopped)
}

/// The servers that run.
struct Pair {
    servers: Vec<Server>,
}

struct Server {
    // Dropped before the process can be: a guard never outlives what it would signal.
    _guard: Guard,
    child: Child,
    address: SocketAddr,
    pid: i32,
}

impl Pair {
    fn start(behind: &Behind, asked: SocketAddr) -> Result<Self, Error> {
        let servers = addresses(asked)?.map(|address| Server::start(behind, address));
        Ok(Self { servers: servers.into_iter().collect::<Result<_, _>>()? })
    }

    /// Greets when both are ready, and tells of each that ends, until there is no sense in going on.
    async fn run(&mut self, behind: &Behind) -> Error {
        let [first, second] = [0, 1].map(|at| self.servers[at].address);
        let ready = async { tokio::join!(readiness::wait(first), readiness::wait(second)) };
        tokio::select! {
            ((), ()) = ready => {}
            (Server { address, .. }, status) = self.next_end() => return Error::Unready { address, status },
        }
        self.greet(behind);
        while !self.servers.is_empty() {
            let (gone, status) = self.next_end().await;
            let rest = self.servers.iter().map(|left| format!(" Its pages go on on {}.", left.address));
            let rest: String = rest.collect();
            say(&format!("  {} (process {}) is gone: {status}.{rest}", gone.address, gone.pid));
        }
        Error::NoneLeft
    }

    fn greet(&self, behind: &Behind) {
        let [first, second] = &self.servers[..] else { return };
        let (one, other) = (first.address, second.address);
        say(&format!(
            "\n  Tidegate is live:  http://{one}/#peers={other}  (process {})\n  \
             and as well:       http://{other}/#peers={one}  (process {})\n  \
             Its database:      {}\n  Its broker:        {}\n\n  \
             Open the first page and stop its server with `kill {}`: the page goes on on the other, where it was.\n  \
             A server that was stopped is not started again. Ctrl-C stops everything.\n",
            first.pid, second.pid, behind.database, behind.broker, first.pid
        ));
    }

    /// The next server that ends. Cancel safe.
    async fn next_end(&mut self) -> (Server, ExitStatus) {
        let waits = self.servers.iter_mut().map(|server| Box::pin(server.child.wait()));
        let (status, at, _) = select_all(waits).await;
        let status = status.expect("it is our child, and nobody else waits for it");
        (self.servers.remove(at), status)
    }

    /// Stops those that are left, within `patience` in good order.
    async fn stop(&mut self, patience: Duration) {
        for server in &self.servers {
            server.tell_to_stop();
        }
        let ended = async {
            while !self.servers.is_empty() {
                self.next_end().await;
            }
        };
        if tokio::time::timeout(patience, ended).await.is_err() {
            let late: Vec<_> = self.servers.iter().map(|server| server.pid).collect();
            tracing::warn!(processes = ?late, "servers did not stop in time, and are killed");
            for server in &mut self.servers {
                // It can have ended just now.
                let _ = server.child.kill().await;
            }
        }
    }
}

impl Server {
    fn start(behind: &Behind, address: SocketAddr) -> Result<Self, Error> {
        let layers = behind
            .layers
            .clone()
            .flag(ORIGIN, "journal.backend", "rabbitmq")
            .flag(ORIGIN, "journal.url", &behind.broker)
            .flag(ORIGIN, "http.listen", address.to_string());
        let (file, variables) = layers.for_child();
        let start = |source| Error::Start { address, source };
        let mut command = Command::new(std::env::current_exe().map_err(start)?);
        command.arg("serve").envs(variables).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        if let Some(file) = file {
            command.arg("--config").arg(file);
        }
        let child = command.spawn().map_err(start)?;
        let pid = child.id().and_then(|pid| pid.try_into().ok()).expect("nobody has waited for it");
        let guard = Guard::watch(&Watch { server: pid, signal: "TERM", companion: None, remove: None });
        Ok(Self { _guard: guard.map_err(Error::Guard)?, child, address, pid })
    }

    fn tell_to_stop(&self) {
        if let Err(error) = machine::signal(self.pid, rustix::process::Signal::TERM) {
            tracing::warn!(%error, pid = self.pid, "a server cannot be told to stop");
        }
    }
}

/// The address that was asked for, and the next one that nobody listens on.
fn addresses(asked: SocketAddr) -> Result<[SocketAddr; 2], Error> {
    let mut first = asked;
    if first.port() == 0 {
        first.set_port(free_port().map_err(|_| Error::Port { first })?);
    }
    let behind = (first.port()..=u16::MAX).skip(1).map(|port| SocketAddr::new(first.ip(), port));
    let second = behind.into_iter().find(|address| TcpListener::bind(address).is_ok());
    Ok([first, second.ok_or(Error::Port { first })?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_server_takes_the_next_port_that_is_free() {
        let asked = SocketAddr::from(([127, 0, 0, 1], free_port().expect("loopback has ports")));
        let next = TcpListener::bind((asked.ip(), asked.port() + 1));
        let [first, second] = addresses(asked).expect("some port is free");
        assert_eq!(first, asked);
        assert!(second.port() > asked.port() + u16::from(next.is_ok()), "{second}");
        let [first, second] = addresses(([127, 0, 0, 1], 0).into()).expect("some port is free");
        assert!(first.port() != 0 && second.port() > first.port(), "{first} {second}");
    }
}
