//! The demo's server processes, on one database: one, or two that share a journal. Kill one, and it comes back.
//!
//! ```text
//!  cluster ──WAL──▶ the slot's holder ─┬─▶ tidegate serve  http://127.0.0.1:8080/
//!                   (──▶ stream) ──────┴─▶ tidegate serve  http://127.0.0.1:8081/
//!                                                ▲
//!  Handle ── kill ──▶ Servers ── after 5 s ──────┘
//!         ◀─ standings ──┘
//! ```
//!
//! They are children of this process, in process groups of their own: a Ctrl-C in the terminal reaches us alone, and
//! we stop them in order. When we are killed their guards end them.

mod place;
mod process;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitStatus;
use std::time::Duration;

use futures_util::future::{join_all, select_all};
use serde::Serialize;
use tokio::sync::{mpsc, watch};

use super::super::serve;
use super::machine;
use super::{free_port, readiness, say};
use crate::config::{Config, Layers};
use crate::shutdown::{Scope, Signals};
use crate::telemetry::Chain;
use place::{Event, Place};
use process::Process;

/// How long a server that ended is left alone: time to see that it is gone, and where its pages are now.
const REST: Duration = Duration::from_secs(5);
/// How much longer than its own grace period a server may take to end: what comes after it takes milliseconds.
const LAST_STEPS: Duration = Duration::from_secs(5);
/// Wishes to kill that wait: a page has a button for each server.
const WISHES: usize = 16;

/// Why the servers do not run, or do not run any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Somebody else listens there.
    #[error("cannot listen on {address}")]
    Taken {
        /// The first server's address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no port for another one.
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
}

/// What all servers stand on.
pub(super) struct Behind {
    /// Their configuration, but for the journal and the address.
    pub(super) layers: Layers,
    /// Where they listen.
    pub(super) addresses: Vec<SocketAddr>,
    /// The database's URL.
    pub(super) database: String,
    /// The broker's URL, if the journal is there.
    pub(super) broker: Option<String>,
    /// What there is to be seen, for the greeting.
    pub(super) invitation: String,
}

/// How a server stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Standing {
    /// Where it listens, when it does.
    pub(super) address: SocketAddr,
    /// Whether its process runs.
    pub(super) alive: bool,
    /// Its process, while it runs.
    pub(super) pid: Option<i32>,
    /// How often it was started again.
    pub(super) restarts: u32,
}

/// What others know of the servers, and may do to them.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    standings: watch::Receiver<Vec<Standing>>,
    kills: mpsc::Sender<usize>,
}

/// The servers' end of a [`Handle`].
pub(super) struct Reins {
    standings: watch::Sender<Vec<Standing>>,
    kills: mpsc::Receiver<usize>,
}

/// What became of a wish to kill a server.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kill {
    /// It is as good as dead.
    Sent,
    /// Its process does not run.
    NotRunning,
    /// There is no such server.
    Unknown,
}

/// Of servers that have not been started yet.
pub(super) fn handle() -> (Handle, Reins) {
    let (standings, seen) = watch::channel(Vec::new());
    let (kills, wishes) = mpsc::channel(WISHES);
    (Handle { standings: seen, kills }, Reins { standings, kills: wishes })
}

impl Handle {
    /// How they stand now, in the order of their addresses.
    pub(super) fn standings(&self) -> Vec<Standing> {
        self.standings.borrow().clone()
    }

    /// Kills the server of that number, which has no time to say goodbye; returns when its process is gone.
    pub(super) async fn kill(&mut self, at: usize) -> Kill {
        let was = match self.standings.borrow().get(at) {
            None => return Kill::Unknown,
            Some(standing) => standing.pid,
        };
        if was.is_none() || self.kills.send(at).await.is_err() {
            return Kill::NotRunning;
        }
        // An error: the demo ends, and they with it.
        let _ = self.standings.wait_for(|all| all[at].pid != was).await;
        Kill::Sent
    }
}

/// Runs them until told to stop: on the first signal in good order, on the second at once.
///
/// # Errors
/// [`Error`], and [`serve::Error::Forced`].
pub(super) async fn until_told(
    behind: Behind,
    reins: Reins,
    config: &Config,
    scope: &Scope,
    mut signals: Signals,
) -> Result<(), super::Error> {
    let mut servers = Servers::start(&behind, reins)?;
    let ended = tokio::select! {
        biased;
        // 1. A request to stop.
        signal = signals.next() => {
            tracing::info!(%signal, "shutting down");
            Ok(())
        }
        () = scope.closing() => Ok(()),
        // 2. The servers' own end.
        error = servers.run() => Err(error.into()),
    };
    scope.close();
    let stopped = tokio::select! {
        biased;
        // 1. The end of all.
        () = servers.stop(config.shutdown.grace + LAST_STEPS) => Ok(()),
        // 2. A second request, which does not wait for it: they are killed as they are dropped.
        signal = signals.next() => Err(serve::Error::Forced(signal).into()),
    };
    ended.and(stopped)
}

struct Servers<'a> {
    behind: &'a Behind,
    places: Vec<Place>,
    reins: Reins,
}

impl<'a> Servers<'a> {
    fn start(behind: &'a Behind, reins: Reins) -> Result<Self, Error> {
        let places = behind.addresses.iter().map(|address| Ok(Place::of(Process::start(behind, *address)?)));
        let servers = Self { behind, places: places.collect::<Result<_, _>>()?, reins };
        servers.publish();
        Ok(servers)
    }

    /// Greets when all are ready, then starts each again that ends.
    async fn run(&mut self) -> Error {
        let ready = join_all(self.behind.addresses.iter().map(|address| readiness::wait(*address)));
        tokio::select! {
            _ = ready => {}
            (at, event) = next(&mut self.places) => {
                let status = match event {
                    Event::Ended(status) => status,
                    Event::Rested => unreachable!("nobody rests who has not run"),
                };
                return Error::Unready { address: self.places[at].address, status };
            }
        }
        say(&self.greeting());
        loop {
            tokio::select! {
                biased;
                // 1. Servers that are to be killed.
                Some(at) = self.reins.kills.recv() => self.places[at].kill(),
                // 2. Those that have ended, by whichever hand, and those that have rested.
                (at, event) = next(&mut self.places) => match event {
                    Event::Ended(status) => self.lay_down(at, status),
                    Event::Rested => self.start_again(at),
                },
            }
            self.publish();
        }
    }

    fn lay_down(&mut self, at: usize, status: ExitStatus) {
        let gone = &mut self.places[at];
        let (address, pid) = (gone.address, gone.pid().unwrap_or_default());
        gone.rest(REST);
        let left = self.places.iter().filter(|place| place.pid().is_some());
        let left: Vec<_> = left.map(|left| format!(" Its pages go on on {}.", left.address)).collect();
        let left = left.concat();
        say(&format!(
            "  {address} (process {pid}) is gone: {status}.{left} It is started again in {} s.",
            REST.as_secs()
        ));
    }

    fn start_again(&mut self, at: usize) {
        let place = &mut self.places[at];
        match Process::start(self.behind, place.address) {
            Ok(process) => {
                say(&format!("  {} is back (process {}).", place.address, process.pid()));
                place.run(process);
            }
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "a server cannot be started again; trying again");
                place.rest(REST);
            }
        }
    }

    fn publish(&self) {
        self.reins.standings.send_replace(self.places.iter().map(Place::standing).collect());
    }

    fn greeting(&self) -> String {
        let Behind { database, broker, invitation, .. } = self.behind;
        let names = ["Tidegate is live:", "and as well:"];
        let servers = names.into_iter().zip(&self.places).map(|(name, place)| {
            let pid = place.pid().unwrap_or_default();
            format!("  {name:<18} http://{}/  (process {pid})", place.address)
        });
        let database = format!("  Its database:      {database}");
        let stands = broker.as_ref().map(|url| format!("  Its broker:        {url}"));
        let first = self.places.first().and_then(Place::pid).unwrap_or_default();
        let kill = broker.as_ref().map(|_| {
            format!("  Stop the first server with `kill {first}`: its pages go on on the other one, where they were.")
        });
        let rest = REST.as_secs();
        let end =
            format!("  A server that is gone is started again after {rest} s. Ctrl-C stops everything.\n");
        let lines = [String::new()].into_iter().chain(servers).chain([database]).chain(stands);
        let lines: Vec<_> = lines.chain([invitation.clone()]).chain(kill).chain([end]).collect();
        lines.join("\n")
    }

    /// Stops those that run, within `patience` in good order.
    async fn stop(&mut self, patience: Duration) {
        self.places.retain(|place| place.pid().is_some());
        for place in &self.places {
            place.tell_to_stop();
        }
        let ended = async {
            while !self.places.is_empty() {
                let (at, _) = next(&mut self.places).await;
                self.places.remove(at);
            }
        };
        if tokio::time::timeout(patience, ended).await.is_err() {
            let late: Vec<_> = self.places.iter().filter_map(Place::pid).collect();
            tracing::warn!(processes = ?late, "servers did not stop in time, and are killed");
            for place in &mut self.places {
                place.kill();
            }
            join_all(self.places.iter_mut().map(Place::next)).await;
        }
    }
}

/// The next thing that happens to one of them, and to which. Cancel safe.
async fn next(places: &mut [Place]) -> (usize, Event) {
    let (event, at, _) = select_all(places.iter_mut().map(|place| Box::pin(place.next()))).await;
    (at, event)
}

/// The address that was asked for, and for each further server the next one that nobody listens on.
///
/// # Errors
/// [`Error::Taken`] and [`Error::Port`].
pub(super) fn addresses(asked: SocketAddr, servers: usize) -> Result<Vec<SocketAddr>, Error> {
    let mut first = asked;
    if first.port() == 0 {
        first.set_port(free_port().map_err(|_| Error::Port { first })?);
    }
    TcpListener::bind(first).map_err(|source| Error::Taken { address: first, source })?;
    let behind = (first.port()..=u16::MAX).skip(1).map(|port| SocketAddr::new(first.ip(), port));
    let free = behind.filter(|address| TcpListener::bind(address).is_ok());
    let addresses: Vec<_> = [first].into_iter().chain(free.take(servers - 1)).collect();
    if addresses.len() == servers { Ok(addresses) } else { Err(Error::Port { first }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_server_takes_the_next_port_that_is_free() {
        let asked = SocketAddr::from(([127, 0, 0, 1], free_port().expect("loopback has ports")));
        let next = TcpListener::bind((asked.ip(), asked.port() + 1));
        let addresses_of = |asked, servers| addresses(asked, servers).expect("some port is free");
        let [first, second] = addresses_of(asked, 2)[..] else { panic!("two") };
        assert_eq!(first, asked);
        assert!(second.port() > asked.port() + u16::from(next.is_ok()), "{second}");
        let [first, second] = addresses_of(([127, 0, 0, 1], 0).into(), 2)[..] else { panic!("two") };
        assert!(first.port() != 0 && second.port() > first.port(), "{first} {second}");
        assert_eq!(addresses_of(first, 1), [first]);
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_named_before_anything_is_started() {
        let other = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let taken = other.local_addr().expect("bound");
        assert!(matches!(addresses(taken, 1), Err(Error::Taken { address, .. }) if address == taken));
    }
}
