//! One connection's stream: words in, deliveries out, status updates back.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use metrics::{Counter, Gauge};
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{Instant, sleep, sleep_until};

use super::assembler::Assembler;
use super::connection::{Connection, Word};
use super::delivery::{Return, Uncut};
use super::feedback::{Answer, Feedback, status_update};
use super::pace::Pace;
use super::{Config, Delivery, Error, Life, Reader};
use crate::event::Lsn;
use crate::pgoutput;
use crate::telemetry::metric;

/// Positions passed by transactions of other tables are told this often: each wakes every hub.
const PASSED_INTERVAL: Duration = Duration::from_millis(200);
/// Before PostgreSQL 16 a server that decodes a large transaction of other tables says nothing until it is through. So
/// patience doubles with each silent end, this often: from 20 s to more than ten minutes.
const MOST_DOUBLINGS: u32 = 5;

/// Why a stream ended.
#[derive(Debug)]
pub(super) enum Stop {
    /// Nobody takes the deliveries any more.
    ReaderGone,
    /// It broke.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

#[derive(Debug)]
pub(super) struct Stream {
    connection: Connection,
    assembler: Assembler,
    feedback: Feedback,
    pace: Pace,
    life: Life,
    /// The end of what was delivered on this connection. A reader need not have kept what came before it.
    reached: Lsn,
    /// Whether the reader was told of this stream.
    introduced: bool,
    uncut: Uncut,
    /// What the last message completed.
    outbox: VecDeque<Delivery>,
    /// When the server was last heard.
    heard_at: Instant,
    /// Silent for this long, the server is asked for a sign of life.
    ask_after: Duration,
    /// Silent for this long, it is taken for dead.
    patience: Duration,
    /// When a position passed was last told.
    passed_told_at: Instant,
    /// The end of the log as the server knows it.
    wal_end: Lsn,
    counters: Counters,
}

struct Counters {
    bytes: Counter,
    transactions: Counter,
    changes: Counter,
    lag_bytes: Gauge,
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counters").finish_non_exhaustive()
    }
}

impl Stream {
    /// A stream that starts at `starts_at`, and ends when it is dropped.
    pub(super) fn new(
        connection: Connection,
        life: Life,
        starts_at: Lsn,
        uncut: Uncut,
        config: &Config,
        silences: u32,
    ) -> Self {
        let now = Instant::now();
        let ask_after = config.wal_sender_timeout / 2;
        let doublings = silences.min(MOST_DOUBLINGS);
        Self {
            connection,
            assembler: Assembler::new(config.chunk_bytes),
            // Three in the time that the server waits, whatever the configuration says: one may be late.
            feedback: Feedback::new(config.status_interval.min(config.wal_sender_timeout / 3), now),
            pace: Pace::new(now),
            life,
            reached: starts_at,
            introduced: false,
            uncut,
            outbox: VecDeque::new(),
            heard_at: now,
            ask_after,
            patience: config.wal_sender_timeout.saturating_mul(2 << doublings),
            passed_told_at: now,
            wal_end: life.told,
            counters: Counters {
                bytes: metrics::counter!(metric::SOURCE_BYTES),
                transactions: metrics::counter!(metric::SOURCE_TRANSACTIONS),
                changes: metrics::counter!(metric::SOURCE_CHANGES),
                lag_bytes: metrics::gauge!(metric::SOURCE_CONFIRMED_LAG_BYTES),
            },
        }
    }

    /// What goes on without the connection, unless the reader was never told of it.
    pub(super) fn introduced_life(&self) -> Option<Life> {
        self.introduced.then_some(self.life)
    }

    /// When another stream is wanted, if the reader is away.
    pub(super) fn reader_returns(&self) -> Option<Return> {
        self.uncut.returns()
    }

    /// Tells that the stream is open. After a reset, waits until the reader has let go of the former life's positions.
    pub(super) async fn introduce(&mut self, opened: Delivery, reader: &mut Reader) -> Result<(), Stop> {
        self.wait_for_room(opened, reader).await?;
        self.introduced = true;
        while !self.life.settled {
            if reader.confirmed() == Lsn::ZERO {
                self.life.settled = true;
                break;
            }
            tokio::select! {
                biased;
                changed = reader.confirmed.changed() => changed.map_err(|_| Stop::ReaderGone)?,
                () = sleep_until(self.feedback.due()) => self.send_status(self.life.told).await?,
            }
        }
        Ok(())
    }

    /// Follows the stream until it breaks.
    pub(super) async fn follow(&mut self, config: &Config, reader: &mut Reader) -> Result<Infallible, Stop> {
        loop {
            self.turn(reader).await.map_err(|stop| match stop {
                Stop::Failed(error) => Stop::Failed(explained(error, config)),
                gone @ Stop::ReaderGone => gone,
            })?;
        }
    }

    /// Says goodbye, with the last confirmation.
    pub(super) async fn close(mut self, confirmed: Lsn) {
        // A goodbye that does not arrive is noticed as a closed socket.
        if self.send_status(self.life.confirmable(confirmed)).await.is_ok() {
            self.connection.close().await;
        }
    }

    async fn turn(&mut self, reader: &mut Reader) -> Result<(), Stop> {
        self.take_words(reader).await?;
        if self.assembler.has_passed() && self.passed_told_at + PASSED_INTERVAL <= Instant::now() {
            self.tell_passed(reader).await?;
        }
        let deadline = self.deadline();
        tokio::select! {
            biased;
            // 1. A status update, or a position to tell.
            () = sleep_until(deadline) => self.tick(reader.confirmed()).await?,
            // 2. The reader has lost what it had not confirmed.
            () = self.uncut.wanted() => return Err(Error::ReaderLost.into()),
            // 3. What the server says.
            received = self.connection.fill() => {
                let bytes = received?;
                self.counters.bytes.increment(bytes as u64);
                self.heard_at = Instant::now();
                if let Some(pause) = self.pace.note(bytes, self.heard_at) {
                    sleep(pause).await;
                }
            }
            // 4. The reader has confirmed something.
            changed = reader.confirmed.changed(), if !self.feedback.is_soon() => {
                changed.map_err(|_| Stop::ReaderGone)?;
                self.feedback.confirmed();
            }
        }
        Ok(())
    }

    fn deadline(&self) -> Instant {
        let due = self.feedback.due();
        if self.assembler.has_passed() { due.min(self.passed_told_at + PASSED_INTERVAL) } else { due }
    }

    /// Takes all words that have been received whole.
    async fn take_words(&mut self, reader: &mut Reader) -> Result<(), Stop> {
        while let Some(word) = self.connection.word()? {
            match word {
                Word::Data { wal_end, message } => {
                    self.wal_end = self.wal_end.max(Lsn::new(wal_end));
                    let message = pgoutput::decode(message).map_err(Error::from)?;
                    self.assembler.push(message, &mut self.outbox)?;
                    if !self.outbox.is_empty() {
                        self.hand_on(reader).await?;
                    }
                }
                Word::Keepalive { wal_end, wants_reply } => {
                    self.wal_end = self.wal_end.max(Lsn::new(wal_end));
                    self.assembler.pass(Lsn::new(wal_end));
                    if wants_reply {
                        // A server that shuts down waits until all is confirmed.
                        self.tell_passed(reader).await?;
                        self.feedback.asked();
                    }
                }
            }
        }
        Ok(())
    }

    async fn tell_passed(&mut self, reader: &mut Reader) -> Result<(), Stop> {
        self.passed_told_at = Instant::now();
        if let Some(mark) = self.assembler.take_passed(self.reached) {
            self.outbox.push_back(mark);
            self.hand_on(reader).await?;
        }
        Ok(())
    }

    /// Hands on what is complete.
    async fn hand_on(&mut self, reader: &mut Reader) -> Result<(), Stop> {
        while let Some(delivery) = self.outbox.pop_front() {
            match &delivery {
                Delivery::Chunk { end_lsn, changes, last, .. } => {
                    self.counters.changes.increment(changes.len() as u64);
                    if *last {
                        self.counters.transactions.increment(1);
                        self.reached = self.reached.max(*end_lsn);
                    }
                }
                Delivery::Mark { end_lsn, .. } => self.reached = self.reached.max(*end_lsn),
                Delivery::Opened { .. } | Delivery::Closed => {}
            }
            self.life.delivered = self.life.delivered.max(self.reached);
            match reader.deliveries.try_send(delivery) {
                Ok(()) => {}
                Err(TrySendError::Closed(_)) => return Err(Stop::ReaderGone),
                Err(TrySendError::Full(delivery)) => self.wait_for_room(delivery, reader).await?,
            }
        }
        Ok(())
    }

    /// The reader is slower than the server. Nothing more is read, and PostgreSQL is told that we live.
    async fn wait_for_room(&mut self, delivery: Delivery, reader: &mut Reader) -> Result<(), Stop> {
        loop {
            tokio::select! {
                biased;
                permit = reader.deliveries.reserve() => {
                    permit.map_err(|_| Stop::ReaderGone)?.send(delivery);
                    // The server may have waited for us meanwhile, and cannot be blamed for its silence.
                    self.heard_at = Instant::now();
                    return Ok(());
                }
                () = self.uncut.wanted() => return Err(Error::ReaderLost.into()),
                () = sleep_until(self.feedback.due()) => {}
            }
            self.send_status(self.life.confirmable(reader.confirmed())).await?;
        }
    }

    async fn tick(&mut self, confirmed: Lsn) -> Result<(), Stop> {
        if self.heard_at.elapsed() >= self.patience {
            return Err(Error::Silent { seconds: self.patience.as_secs() }.into());
        }
        if self.feedback.due() <= Instant::now() {
            self.send_status(self.life.confirmable(confirmed)).await?;
        }
        Ok(())
    }

    async fn send_status(&mut self, confirmed: Lsn) -> Result<(), Error> {
        let answer =
            if self.heard_at.elapsed() >= self.ask_after { Answer::Wanted } else { Answer::Needless };
        // Before it is sent: half a message may arrive whole, and then the slot has moved by our own hand.
        self.life.told = self.life.told.max(confirmed);
        self.connection.send_copy_data(&status_update(self.life.told, answer)).await?;
        self.feedback.sent(Instant::now());
        #[expect(clippy::cast_precision_loss, reason = "a gauge holds nothing finer")]
        self.counters.lag_bytes.set(self.wal_end.since(self.life.told) as f64);
        Ok(())
    }
}

/// A slot older than its publication is refused with the first row that it meets, and would be for ever.
fn explained(error: Error, config: &Config) -> Error {
    const UNDEFINED_OBJECT: &str = "42704";
    let Config { publication, slot, .. } = config;
    match error {
        Error::Server { source, .. }
            if source.code == UNDEFINED_OBJECT && source.message.contains(publication.as_str()) =>
        {
            Error::OlderThanPublication { slot: slot.clone(), publication: publication.clone(), source }
        }
        other => other,
    }
}
