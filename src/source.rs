//! What PostgreSQL commits, in commit order: the replication connection and all that keeps it going.
//!
//! ```text
//!  PostgreSQL ──▶ connection ──▶ pgoutput::decode ──▶ assembler ──▶ Delivery ──▶ relay
//!       ▲             │                                                            │
//!       └── feedback ─┘◀────────────── confirmed: watch<Lsn> ──────────────────────┘
//! ```
//!
//! [`run`] holds the slot, follows its stream, and comes back after whatever cuts it off. It promises that nothing is
//! left out: what it cannot promise (a slot lost, another cluster) is a [`Continuity::Reset`]. It may tell a
//! transaction twice: after a [`Delivery::Closed`] all that was not confirmed comes again, and the reader trims it by
//! `(commit_lsn, index)`. So a reader may drop what it has not kept when it learns of the end of a stream ([`Cut`]).
//!
//! Never here: a confirmation beyond what the reader has confirmed, more than one chunk of a transaction in memory,
//! a fight over a slot that someone else reads, a slot held for a reader that could do nothing with it ([`Cut::leave`]).

mod assembler;
mod backoff;
mod connection;
mod delivery;
mod error;
mod feedback;
mod pace;
mod slot;
mod stream;

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use self::backoff::Backoff;
use self::connection::Connection;
use self::slot::Opening;
use self::stream::{Stop, Stream};
use crate::event::Lsn;
use crate::postgres::Settings;
use crate::telemetry::{Chain, metric};

pub use assembler::Assembler;
pub use delivery::{Away, Continuity, Cut, Delivery, Reason};
pub use error::{Error, Recovery, ServerError};
pub use slot::System;

/// Where the stream comes from, and its pace.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where PostgreSQL is.
    pub settings: Settings,
    /// The publication that says which tables; made by someone else.
    pub publication: String,
    /// The replication slot: lower-case letters, digits and underscores, at most 63.
    pub slot: String,
    /// A chunk is cut before it holds more than this, unless a single change does.
    pub chunk_bytes: usize,
    /// How long PostgreSQL keeps the slot for a process that is frozen.
    pub wal_sender_timeout: Duration,
    /// How often PostgreSQL is told how far we are, at least.
    pub status_interval: Duration,
    /// The pause before the first attempt to come back.
    pub reconnect_min: Duration,
    /// The longest pause: pauses double up to it, and are drawn at random below.
    pub reconnect_max: Duration,
    /// How long the last confirmation is waited for at the end.
    pub closing_grace: Duration,
}

impl Config {
    /// For these places, at the usual pace.
    pub fn new(settings: Settings, publication: &str, slot: &str) -> Self {
        Self {
            settings,
            publication: publication.into(),
            slot: slot.into(),
            chunk_bytes: 256 * 1024,
            wal_sender_timeout: Duration::from_secs(10),
            status_interval: Duration::from_secs(1),
            reconnect_min: Duration::from_millis(100),
            reconnect_max: Duration::from_secs(10),
            closing_grace: Duration::from_secs(2),
        }
    }
}

/// Opens a replication connection and closes it again: whether `run` would get that far.
///
/// # Errors
/// Why it would not.
pub async fn probe(config: &Config) -> Result<System, Error> {
    let mut connection = Connection::open(config).await?;
    let system = slot::identify(&mut connection).await?;
    connection.terminate().await;
    Ok(system)
}

/// Follows the slot until `closing`, and comes back after whatever cuts it off.
///
/// `confirmed` is the end of what the reader has made safe: the `end_lsn` of a delivery, or anything below it. It
/// starts at [`Lsn::ZERO`]. A [`Continuity::Reset`] makes positions of another life incomparable: the reader sets
/// `confirmed` back to [`Lsn::ZERO`] when it takes one, and deliveries go on only after that. (On the first opening it
/// is there already.)
///
/// At `closing` the deliveries end, the last confirmation is waited for a moment, and the slot is given up.
///
/// # Errors
/// Only what nothing but a change of the configuration mends: [`Recovery::Halt`]. All else is logged and tried again.
pub async fn run(
    config: Config,
    deliveries: mpsc::Sender<Delivery>,
    confirmed: watch::Receiver<Lsn>,
    closing: impl Future<Output = ()>,
) -> Result<(), Error> {
    let mut source = Source {
        backoff: Backoff::new(config.reconnect_min, config.reconnect_max),
        config,
        life: None,
        stream: None,
        silences: 0,
        recreate: false,
    };
    let mut reader = Reader { deliveries, confirmed };
    let deliveries = reader.deliveries.clone();
    let outcome = tokio::select! {
        biased;
        // 1. Shutdown: take nothing in, confirm what is held.
        () = closing => Ok(()),
        // 2. Nobody reads any more.
        () = deliveries.closed() => Ok(()),
        // 3. The stream.
        outcome = source.work(&mut reader) => outcome,
    };
    drop(deliveries);
    source.close(reader).await;
    outcome
}

/// Whoever takes the deliveries.
#[derive(Debug)]
struct Reader {
    deliveries: mpsc::Sender<Delivery>,
    confirmed: watch::Receiver<Lsn>,
}

impl Reader {
    fn confirmed(&self) -> Lsn {
        *self.confirmed.borrow()
    }
}

/// What stays the same from one connection to the next, unless there is a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Life {
    system_id: u64,
    timeline: u32,
    /// The furthest that the slot was told of, or had been told before us.
    told: Lsn,
    /// The end of the furthest delivery. PostgreSQL sends what is on disk only: its log reaches this far for as long
    /// as it is the same one.
    delivered: Lsn,
    /// Whether `confirmed` is about this life. Until the reader sets it back it may be about the one before.
    settled: bool,
}

#[derive(Debug)]
struct Source {
    config: Config,
    life: Option<Life>,
    stream: Option<Stream>,
    backoff: Backoff,
    /// How many connections in a row ended in silence.
    silences: u32,
    /// Whether the slot is there and of no use.
    recreate: bool,
}

impl Source {
    async fn work(&mut self, reader: &mut Reader) -> Result<(), Error> {
        loop {
            let delivered = self.life.map(|life| life.delivered);
            let stop = self.once(reader).await;
            let returns = self.stream.as_ref().and_then(Stream::reader_returns);
            let was_open = self.put_away();
            metrics::gauge!(metric::SOURCE_STREAMING).set(0.0);
            let error = match stop {
                Stop::ReaderGone => return Ok(()),
                Stop::Failed(error) => error,
            };
            if was_open && reader.deliveries.send(Delivery::Closed).await.is_err() {
                return Ok(());
            }
            match error.recovery() {
                Recovery::Halt => return Err(error),
                Recovery::Recreate => self.recreate = true,
                Recovery::Reconnect => {}
            }
            self.silences = if matches!(error, Error::Silent { .. }) { self.silences + 1 } else { 0 };
            if self.life.map(|life| life.delivered) != delivered {
                self.backoff.reset();
            }
            if let Some(returns) = returns {
                tracing::info!(error = %Chain(&error), slot = self.config.slot, "the slot is left to others");
                returns.wait().await;
                continue;
            }
            let pause = self.backoff.pause();
            tracing::warn!(error = %Chain(&error), pause_ms = pause.as_millis(), "no stream from PostgreSQL");
            sleep(pause).await;
        }
    }

    /// One connection, from its start to its end.
    async fn once(&mut self, reader: &mut Reader) -> Stop {
        let (stream, opened) = match self.open(reader).await {
            Ok(open) => open,
            Err(error) => return Stop::Failed(error),
        };
        let stream = self.stream.insert(stream);
        if let Err(stop) = stream.introduce(opened, reader).await {
            return stop;
        }
        let Err(stop) = stream.follow(&self.config, reader).await;
        stop
    }

    /// Returns the stream and its first word.
    async fn open(&mut self, reader: &Reader) -> Result<(Stream, Delivery), Error> {
        let Config { slot, publication, .. } = &self.config;
        let mut connection = Connection::open(&self.config).await?;
        let safe = self.life.map_or(Lsn::ZERO, |life| life.confirmable(reader.confirmed()));
        let opening =
            slot::acquire(&mut connection, &self.config, self.life.as_ref(), safe, self.recreate).await?;
        self.recreate = false;
        metrics::counter!(metric::SOURCE_CONNECTIONS).increment(1);
        metrics::gauge!(metric::SOURCE_STREAMING).set(1.0);
        let Opening {
            system: System { id: system_id, timeline, flushed, .. },
            continuity,
            starts_at,
            slot_lsn,
        } = opening;
        let endpoint = connection.endpoint();
        tracing::info!(%endpoint, slot, publication, %starts_at, ?continuity, "the stream from PostgreSQL is open");
        let settled = continuity == Continuity::Continued;
        let fresh = Life { system_id, timeline, told: slot_lsn, delivered: starts_at, settled };
        let life = self.life.filter(|_| settled).unwrap_or(fresh);
        let (uncut, cut) = Cut::new();
        let stream = Stream::new(connection, life, starts_at, uncut, &self.config, self.silences);
        Ok((stream, Delivery::Opened { system_id, timeline, starts_at, flushed, continuity, cut }))
    }

    /// Lets go of the connection, and keeps what goes on without it. Returns whether the reader knows of it.
    ///
    /// A life that the reader was not told of has not begun.
    fn put_away(&mut self) -> bool {
        let life = self.stream.take().and_then(|stream| stream.introduced_life());
        if life.is_some() {
            self.life = life;
        }
        life.is_some()
    }

    async fn close(self, reader: Reader) {
        let Reader { deliveries, mut confirmed } = reader;
        let is_read = !deliveries.is_closed();
        drop(deliveries);
        let Some(stream) = self.stream else { return };
        if let (true, Some(Life { delivered, settled: true, .. })) = (is_read, stream.introduced_life()) {
            // Without the last confirmation the end of the stream comes again at the next start: no loss.
            let _ =
                timeout(self.config.closing_grace, confirmed.wait_for(|confirmed| *confirmed >= delivered))
                    .await;
        }
        let last = *confirmed.borrow();
        stream.close(last).await;
        metrics::gauge!(metric::SOURCE_STREAMING).set(0.0);
    }
}

impl Life {
    /// What the slot may be told, where the reader has confirmed `confirmed`.
    fn confirmable(&self, confirmed: Lsn) -> Lsn {
        if self.settled { confirmed.min(self.delivered).max(self.told) } else { self.told }
    }
}
