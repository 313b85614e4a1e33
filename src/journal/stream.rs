//! The journal in a RabbitMQ stream: one process writes, all read.
//!
//! ```text
//!  relay ──▶ Writer ──▶ publisher ──messages──▶ [ stream ] ──▶ Reader ── Order ──▶ window ──▶ hub
//!               ▲           │                                    │       which records
//!               │           └── confirms ── delay ──▶ slot       │       count
//!               └─────────────── what the stream ends with ◀─────┘
//! ```
//!
//! A stream may hold what a writer wrote that had lost the slot without knowing it, and lack what a broker refused. So
//! nothing is taken at its face: [`order`] says which records count, in the same way for every reader. A writer reads
//! its own opening come round before it appends, and goes on after what is there; whatever goes wrong, it begins anew.

mod archive;
mod broker;
mod check;
mod exchange;
mod inbox;
mod index;
mod message;
mod order;
mod outlet;
mod passengers;
mod publisher;
mod reader;
mod run;
mod seek;
mod topology;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::ledger::Ledger;
use super::window::{Feed, Window};
use super::{Status, Submission};
use crate::shutdown::Scope;
use crate::telemetry::Chain;

pub(super) use archive::{Archive, Passage, Ride};
pub use broker::{InvalidUrl, Url};
pub use check::check;
pub use exchange::{Described, Exchange, ExchangeConfig};
pub use message::InvalidMessage;
pub(super) use outlet::Outlet;
pub(super) use writer::Writer;

/// Where the stream is, and how long it keeps what.
#[derive(Clone, Debug)]
pub struct Config {
    /// The broker.
    pub url: Url,
    /// The stream's name.
    pub stream: String,
    /// How long it keeps a record, at least for as long as its last segment is not full.
    pub max_age: Duration,
    /// How much it keeps, in bytes; the oldest segments go first.
    pub max_bytes: u64,
    /// How far the slot trails what the broker has confirmed.
    pub confirm_delay: Duration,
    /// How much of it each process holds, in bytes.
    pub window_bytes: usize,
    /// The largest event of a service, in bytes.
    pub event_bytes: usize,
}

/// Why the stream cannot be read or written now. All of it is worth trying again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no connection.
    #[error("cannot connect to {broker}")]
    Connect {
        /// Where it should be.
        broker: String,
        /// What the client library says.
        #[source]
        source: lapin::Error,
    },
    /// Something accepts connections and says nothing.
    #[error(
        "{broker} accepts connections and says nothing for {seconds} s: is the broker frozen, or still starting?"
    )]
    Silent {
        /// Where it should be.
        broker: String,
        /// For how long.
        seconds: u64,
    },
    /// The stream cannot be made, or is something else.
    #[error(
        "cannot declare the stream `{stream}`: if it exists with other arguments, set `journal.retention_bytes` and \
         `journal.retention_age_ms` as they were, or delete it (every client starts over)"
    )]
    Declare {
        /// Its name.
        stream: String,
        /// The broker's word.
        #[source]
        source: lapin::Error,
    },
    /// The user may not.
    #[error(
        "the user may not configure, write and read the stream `{stream}`: see `rabbitmqctl set_permissions`"
    )]
    Forbidden {
        /// Its name.
        stream: String,
        /// The broker's word.
        #[source]
        source: lapin::Error,
    },
    /// Something beside the stream cannot be made, or is something else.
    #[error(
        "cannot declare {what}: delete it if it exists with other arguments, or let the user configure and write it"
    )]
    Object {
        /// What.
        what: &'static str,
        /// The broker's word.
        #[source]
        source: lapin::Error,
    },
    /// The broker says no, or the connection broke.
    #[error("the broker did not {doing}")]
    Refused {
        /// What was asked.
        doing: &'static str,
        /// The broker's word.
        #[source]
        source: lapin::Error,
    },
    /// The broker does not answer.
    #[error("the broker did not {doing} within {seconds} s")]
    NoAnswer {
        /// What was asked.
        doing: &'static str,
        /// For how long.
        seconds: u64,
    },
    /// A consumer was cancelled: the stream was deleted.
    #[error("the stream `{stream}` does not send any more: was it deleted?")]
    Ended {
        /// Its name.
        stream: String,
    },
    /// A message was not stored.
    #[error("the broker has not stored a message")]
    Nack,
    /// A message was returned.
    #[error("the broker has returned a message: {reason}")]
    Returned {
        /// The broker's word.
        reason: String,
    },
    /// The stream holds what is no message.
    #[error("the stream holds what this program does not read, at offset {offset}")]
    Unreadable {
        /// Where.
        offset: u64,
        /// What is wrong with it.
        #[source]
        source: InvalidMessage,
    },
    /// The stream does not hold what was read in it.
    #[error("the stream is not what it was")]
    LostPlace,
    /// A message of a stream has no offset.
    #[error("`{stream}` is no stream: its messages have no offset")]
    NoStream {
        /// Its name.
        stream: String,
    },
    /// Another process has opened the journal.
    #[error("another process writes the journal now")]
    Fenced,
    /// A process that follows a later history of the cluster has written.
    #[error(
        "the journal is of timeline {theirs} already, and this server's PostgreSQL is on timeline {ours}"
    )]
    Outdated {
        /// The stream's.
        theirs: u32,
        /// Ours.
        ours: u32,
    },
    /// More is on its way than is taken.
    #[error("the broker takes no more events now")]
    Busy,
    /// The server stops.
    #[error("the journal is closed")]
    Closed,
}

impl Error {
    /// Whether it is what a broker says of a stream that has no leader yet: for a second or two after the stream was made,
    /// or the broker started.
    fn is_early(&self) -> bool {
        const NOT_FOUND: u16 = 404;
        const PRECONDITION_FAILED: u16 = 406;
        const RESOURCE_ERROR: u16 = 506;
        const INTERNAL_ERROR: u16 = 541;
        let (Self::Refused { source, .. } | Self::Declare { source, .. }) = self else { return false };
        let lapin::ErrorKind::ProtocolError(error) = source.kind() else { return false };
        match error.get_id() {
            NOT_FOUND | RESOURCE_ERROR | INTERNAL_ERROR => true,
            // «does not have a replica on the node», said of reading; of a declaration it is about arguments.
            PRECONDITION_FAILED => matches!(self, Self::Refused { .. }),
            _ => false,
        }
    }
}

/// Says that something did not work and will be tried again.
fn say_again(error: &Error, pause: Duration, what: &'static str) {
    let (error, early, pause_ms) = (Chain(error), error.is_early(), pause.as_millis());
    if early {
        tracing::info!(%error, pause_ms, "{what}: the stream has no leader yet");
    } else {
        tracing::warn!(%error, pause_ms, "{what}");
    }
}

/// Starts to read the stream into the window; gives what writes it, and what reads it from further back.
pub(super) fn open(
    config: Config,
    (feed, window): (Feed, Window),
    (ledger, status, submissions): (Ledger, watch::Sender<Status>, mpsc::Sender<Submission>),
    scope: &Scope,
) -> (Writer, Archive, Outlet) {
    let config = Arc::new(config);
    let (index, recent) = (Arc::default(), Arc::default());
    let (reader, seen) = reader::Reader::new(config.clone(), feed, &index, &recent, status);
    scope.spawn_essential("journal reader", reader.run(scope.clone()));
    let (write, writing) = watch::channel(false);
    let inbox = inbox::Inbox { config: config.clone(), submissions, writing };
    let closing = scope.clone();
    scope.spawn("inbox", async move {
        tokio::select! {
            biased;
            () = closing.closing() => {}
            () = inbox.run() => {}
        }
    });
    let archive = Archive::new(config.clone(), index, window, scope.clone());
    let outlet = Outlet::new(config.clone());
    (Writer::new(config, seen, recent, ledger, write, scope.clone()), archive, outlet)
}
