//! The journal: an ordered, replayable record of all that happened, in this process or in a RabbitMQ stream.
//!
//! ```text
//!             memory:  relay ──Writer──────────────────────▶ ┌ oldest … newest ┐ ──Follower──▶ hub
//!                                                            │     window      │
//!             stream:  relay ──Writer──▶ RabbitMQ ──Reader─▶ └────────┬────────┘
//!                      (slot's holder)   stream   (each process)      └──Journal::read──▶ whoever was away
//! ```
//!
//! Every process holds a window of the journal's newest records, bounded in bytes and in age. What the hub has not yet
//! read is never evicted: a full window makes whoever fills it wait, and so, where the journal is in memory, the source
//! and PostgreSQL. A snapshot that is being read *holds* its place: what its readers are owed stays, within a bound of
//! its own. A reader that was away longer than the window is long finds a [`Read::Gap`]; where the journal is a stream,
//! it catches up from there.
//!
//! The journal in memory ends with its process, and the next one is a new [`Incarnation`]. A stream outlives its
//! writers: whoever holds the slot goes on where the last one stopped.

mod ledger;
mod memory;
mod publish;
mod recent;
mod replay;
mod stream;
mod stretch;
mod window;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot, watch};

use crate::event::{EventKey, Incarnation, Lsn, Record, Timestamp};
use crate::shutdown::Scope;
use crate::source::Continuity;

pub use ledger::Ledger;
pub use publish::{PublishError, Publisher, Submission};
pub use replay::{CatchUp, Journal, NotYet};
pub use stream::{
    Config as StreamConfig, Described, Error, Exchange, ExchangeConfig, InvalidMessage, InvalidUrl, Url,
    check,
};
#[cfg(test)]
pub(crate) use stretch::cut;
pub use stretch::{BLOCK_BYTES, Stretch};
pub use window::{Follower, Hold, Read, Step, Tail};

/// Bounds of the window.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The most that is kept, in bytes; a single larger record is kept alone.
    pub memory_bytes: usize,
    /// How much more is kept for those who hold a place, in bytes.
    pub held_bytes: usize,
    /// The longest that a record is kept.
    pub max_age: Duration,
    /// How much is in one [`Stretch`], in bytes, about.
    pub block_bytes: usize,
}

/// Where the journal is.
#[derive(Clone, Debug)]
pub enum Backend {
    /// In this process.
    Memory,
    /// In a RabbitMQ stream.
    Stream(Box<StreamConfig>),
}

/// Whether what is committed comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not yet, or not at the moment.
    Connecting,
    /// It does.
    Streaming,
}

/// A journal, by its ends.
#[derive(Debug)]
pub struct Parts {
    /// For whoever holds the slot.
    pub writer: Writer,
    /// For the hub.
    pub follower: Follower,
    /// For whoever was away.
    pub journal: Journal,
    /// Whether what is committed comes in.
    pub status: watch::Receiver<Status>,
    /// Takes events.
    pub publisher: Publisher,
    /// The events that are to be appended, for whoever holds the slot.
    pub submissions: mpsc::Receiver<Submission>,
}

/// Which history the records come from that are about to be appended.
#[derive(Clone, Copy, Debug)]
pub struct History {
    /// The system identifier.
    pub system_id: u64,
    /// The timeline.
    pub timeline: u32,
    /// Every transaction whose commit record starts at or behind this place will be appended.
    pub starts_at: Lsn,
    /// How much of the log is on disk.
    pub flushed: Lsn,
    /// What the source knows of the time before.
    pub continuity: Continuity,
}

/// Whether the journal goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Opened {
    /// From its tail.
    Continued,
    /// There was none: nobody knows anything.
    Created,
    /// A new life has begun, and why.
    Reset(&'static str),
}

/// A record on its way in.
#[derive(Debug)]
pub struct Appended {
    /// The record, which names the tail as its predecessor.
    pub record: Record,
    /// What may be confirmed to the slot once the record is safe: where the transaction or the mark ends in the log.
    pub reaches: Option<Lsn>,
    /// Told once the record is safe.
    pub stored: Vec<oneshot::Sender<()>>,
}

/// Whether an event is in the journal already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// As far as anybody remembers, it is not.
    No,
    /// It is on its way.
    OnItsWay,
    /// It is.
    Stored,
}

/// The one hand that appends, in all processes: that of the slot's holder.
#[derive(Debug)]
pub enum Writer {
    /// To the window of this process.
    Memory(memory::Writer),
    /// To a RabbitMQ stream.
    Stream(Box<stream::Writer>),
}

/// Opens what sends a message a row to services.
pub fn exchange(
    config: ExchangeConfig,
    described: watch::Receiver<Arc<Described>>,
    ledger: Ledger,
    scope: &Scope,
) -> Exchange {
    Exchange::new(config, described, ledger, scope.clone())
}

/// Events that wait for the relay; whoever publishes more waits.
const SUBMISSIONS: usize = 256;

/// Opens the journal. What is safe in it is written into the ledger.
pub fn open(bounds: Bounds, backend: Backend, ledger: Ledger, scope: &Scope) -> Parts {
    let life = match backend {
        Backend::Memory => new_life(Incarnation::default()),
        // Whatever is read in the stream is of a later one, and cursors of that wait for it.
        Backend::Stream(_) => Incarnation::default(),
    };
    let (feed, follower, window) = window::open(bounds, life);
    let (tell, status) = watch::channel(Status::Connecting);
    let (submit, submissions) = mpsc::channel(SUBMISSIONS);
    let (writer, archive, publisher) = match backend {
        Backend::Memory => {
            let writer = memory::Writer::new(feed, ledger, tell);
            (Writer::Memory(writer), None, Publisher::here(submit))
        }
        Backend::Stream(config) => {
            let (writer, archive, outlet) =
                stream::open(*config, (feed, window.clone()), (ledger, tell, submit), scope);
            (Writer::Stream(Box::new(writer)), Some(archive), Publisher::through(outlet))
        }
    };
    Parts { writer, follower, journal: Journal::new(window, archive), status, publisher, submissions }
}

impl Writer {
    /// Begins to append what comes of `history`, after the journal's tail, or in a new life where nothing leads there.
    ///
    /// Tries for some seconds where the broker is away. Cancel safe: a dropped call has appended nothing.
    ///
    /// # Errors
    /// Why the journal cannot be written by this process; it is worth trying again once it is [`Writer::reachable`], and
    /// another process may be able to meanwhile.
    pub async fn open(&mut self, history: &History) -> Result<Opened, Error> {
        match self {
            Self::Memory(writer) => Ok(writer.open(history)),
            Self::Stream(writer) => writer.open(history).await,
        }
    }

    /// Waits until it is worth trying to open it. Cancel safe.
    pub fn reachable(&self) -> impl Future<Output = ()> + Send + use<> {
        let broker = match self {
            Self::Memory(_) => None,
            Self::Stream(writer) => Some(writer.reachable()),
        };
        async move {
            if let Some(broker) = broker {
                broker.await;
            }
        }
    }

    /// Which term of which life this process has seen last: another one tells that somebody else has written since.
    pub fn term(&self) -> (Incarnation, u64) {
        match self {
            Self::Memory(writer) => (writer.tail().incarnation, 0),
            Self::Stream(writer) => writer.term(),
        }
    }

    /// Forgets what was confirmed: it is of another history than what comes.
    pub fn forget(&self) {
        match self {
            Self::Memory(writer) => writer.forget(),
            Self::Stream(writer) => writer.forget(),
        }
    }

    /// Nothing comes any more until it is opened again.
    pub fn close(&mut self) {
        match self {
            Self::Memory(writer) => writer.close(),
            Self::Stream(writer) => writer.close(),
        }
    }

    /// Whether the journal ends with a transaction's end.
    pub fn ends_transaction(&self) -> bool {
        match self {
            Self::Memory(writer) => writer.ends_transaction(),
            Self::Stream(writer) => writer.ends_transaction(),
        }
    }

    /// Whether an event is in the journal already.
    pub fn knows(&self, key: &EventKey) -> Known {
        match self {
            Self::Memory(writer) => writer.knows(key),
            Self::Stream(writer) => writer.knows(key),
        }
    }

    /// Where the journal ends, with all that was appended.
    pub fn tail(&self) -> Tail {
        match self {
            Self::Memory(writer) => writer.tail(),
            Self::Stream(writer) => writer.tail(),
        }
    }

    /// Appends a record, or waits until it can.
    ///
    /// # Errors
    /// Why it cannot be known whether records that were appended are in the journal: open it again, and append all that
    /// was not confirmed.
    pub async fn append(&mut self, appended: Appended) -> Result<(), Error> {
        match self {
            Self::Memory(writer) => {
                writer.append(appended).await;
                Ok(())
            }
            Self::Stream(writer) => writer.append(appended).await,
        }
    }

    /// Waits until the journal cannot be written any more, if that happens. Cancel safe.
    pub async fn lost(&mut self) -> Error {
        match self {
            Self::Memory(_) => std::future::pending().await,
            Self::Stream(writer) => writer.lost().await,
        }
    }
}

/// Tells those who wait for a record that it is safe.
fn tell(stored: Vec<oneshot::Sender<()>>) {
    for stored in stored {
        // Whoever asks no more has published it all the same.
        _ = stored.send(());
    }
}

/// This machine's clock, as PostgreSQL counts.
pub fn now() -> Timestamp {
    const EPOCH_MICROS: i64 = 946_684_800_000_000;
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    Timestamp::new(i64::try_from(micros).unwrap_or(i64::MAX).saturating_sub(EPOCH_MICROS))
}

/// The number of a life that begins now, after another. By the clock, so that it is greater than that of one which
/// nobody remembers; and with a few bits at random, since two may begin at once.
fn new_life(after: Incarnation) -> Incarnation {
    const RANDOM_BITS: u32 = 12;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let now = u64::try_from(now).unwrap_or(u64::MAX >> RANDOM_BITS);
    Incarnation((now << RANDOM_BITS | fastrand::u64(..1 << RANDOM_BITS)).max(after.0 + 1))
}
