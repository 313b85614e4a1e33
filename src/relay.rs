//! The relay: moves transactions from the source to the journal, and the journal's confirmation back to the slot.
//!
//! ```text
//!  source ──Delivery──▶ visible yet? ──▶ trim what the journal has ──▶ Writer::append
//!     ▲                 (one query for                                      │
//!     │                  a whole batch)                                     │
//!     └──────────────────────────── confirmed Lsn ◀─────────────────────────┘
//! ```
//!
//! Nothing enters the journal before PostgreSQL shows it. A commit record reaches the walsender before its transaction
//! leaves the list of running ones, under synchronous replication long before. So a transaction is appended only when
//! a `pg_current_snapshot()` shows it visible: whoever is told of a change can read it. It is not waited for beyond the
//! end of the stream that it came with: the server that comes back may never show it.
//!
//! A journal that cannot tell what it has, a stream whose broker has refused or lost something, is opened again: the
//! relay cuts the source's stream, all that was not confirmed comes again, and what the journal has is trimmed. Where it
//! cannot be opened for some seconds the relay leaves the slot: another process may have the broker that this one has lost.

mod heartbeat;
mod trim;
mod visible;

use std::collections::HashSet;

use metrics::Counter;
use tokio::sync::{mpsc, oneshot};

use crate::event::{Change, Chunk, Incarnation, Lsn, Mark, Position, Publication, Record, Xid};
use crate::journal::{self, Appended, Exchange, History, Known, Opened, Submission, Writer};
use crate::postgres::Pool;
use crate::shutdown::Scope;
use crate::source::{Away, Continuity, Cut, Delivery, Reason};
use crate::telemetry::{Chain, metric};

pub use heartbeat::heartbeat;
use visible::{Lost, Visible};

/// The relay's state.
struct Relay {
    writer: Writer,
    /// Sends every change to services too, if any is to be sent.
    exchange: Option<Exchange>,
    visible: Visible,
    /// The stream that what comes is taken from; `None` while all is left: it comes again with the next stream, or
    /// never was.
    taking: Option<Cut>,
    /// Held while the slot is left to others: the journal cannot be opened by this process.
    away: Option<Away>,
    /// Why the journal has to begin a new life, and its term when a stream said so that ended before it could.
    owed: Option<(Reason, (Incarnation, u64))>,
    /// The last record leaves a transaction open: nothing else may come in between.
    within: bool,
    /// Looked up once, not with every record.
    appended: Counter,
}

/// How many deliveries are taken at once: one query tells of all of them.
const DELIVERIES_AT_ONCE: usize = 64;
/// How many events go into one record.
const EVENTS_AT_ONCE: usize = 64;
/// And how much of them, in bytes: to the hub a record of events is a transaction, which must not be a large one.
const EVENTS_BYTES: usize = 32 * 1_024;

/// Runs until `scope` closes or the source ends.
pub async fn run(
    pool: Pool,
    mut deliveries: mpsc::Receiver<Delivery>,
    mut submissions: mpsc::Receiver<Submission>,
    (writer, exchange): (Writer, Option<Exchange>),
    scope: Scope,
) {
    let mut relay = Relay {
        writer,
        exchange,
        visible: Visible::new(pool),
        taking: None,
        away: None,
        owed: None,
        within: false,
        appended: metrics::counter!(metric::JOURNAL_APPENDED),
    };
    let (mut batch, mut events) = (Vec::with_capacity(DELIVERIES_AT_ONCE), Vec::new());
    loop {
        tokio::select! {
            biased;
            // 1. Shutdown: what was not appended comes again in the next life.
            () = scope.closing() => return,
            // 2. What was committed, and what services publish.
            taken = relay.next((&mut deliveries, &mut batch), (&mut submissions, &mut events)) => {
                if !taken {
                    return;
                }
            }
        }
    }
}

impl Relay {
    /// Takes a batch and moves it on; `false` at the source's end.
    async fn next(
        &mut self,
        (deliveries, batch): (&mut mpsc::Receiver<Delivery>, &mut Vec<Delivery>),
        (submissions, events): (&mut mpsc::Receiver<Submission>, &mut Vec<Submission>),
    ) -> bool {
        let open = self.taking.is_some();
        let reachable = self.writer.reachable();
        // Not biased: neither may starve the other.
        tokio::select! {
            // The journal, or the exchange: what it has not confirmed has to come again.
            error = self.writer.lost(), if open => self.lose(&error),
            error = lost(self.exchange.as_mut()), if open => self.lose(&error),
            // The slot is worth having again.
            () = reachable, if self.away.is_some() => {
                tracing::info!("the broker can be used again: this process takes the slot if nobody has it");
                self.away = None;
            }
            // What was committed.
            taken = deliveries.recv_many(batch, DELIVERIES_AT_ONCE) => if taken == 0 { return false },
            // What services publish, between two transactions.
            taken = submissions.recv_many(events, EVENTS_AT_ONCE), if open && !self.within => {
                if taken > 0 {
                    self.publish(events.drain(..)).await;
                }
            }
        }
        for delivery in batch.drain(..) {
            self.take(delivery).await;
        }
        true
    }

    async fn take(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Opened { system_id, timeline, starts_at, flushed, continuity, cut } => {
                self.visible.opened(system_id, timeline, cut.clone());
                self.away = None;
                if let Continuity::Reset(reason) = continuity {
                    // Whatever becomes of this stream: the source goes on only then.
                    self.writer.forget();
                    self.owed = Some((reason, self.writer.term()));
                }
                // Whoever has written since has found out for itself.
                self.owed = self.owed.filter(|(_, term)| *term == self.writer.term());
                let continuity =
                    self.owed.map_or(Continuity::Continued, |(reason, _)| Continuity::Reset(reason));
                self.open(&History { system_id, timeline, starts_at, flushed, continuity }, cut).await;
            }
            Delivery::Closed => {
                self.taking = None;
                self.visible.closed();
                self.close();
            }
            _ if self.taking.is_none() => {}
            Delivery::Chunk { commit_lsn, end_lsn, xid, committed_at, first_index, changes, last } => {
                let xid = match self.visible.wait_for(xid).await {
                    Ok(xid) => xid,
                    Err(lost) => return self.discard(lost),
                };
                let previous = self.tail();
                let changes = changes.into();
                let whole = Chunk { previous, commit_lsn, xid, committed_at, first_index, changes, last };
                let reaches = last.then_some(end_lsn);
                if let Some(chunk) = trim::chunk(whole.clone()) {
                    self.append(Record::Chunk(chunk), reaches).await;
                }
                self.send(whole, reaches).await;
            }
            Delivery::Mark { commit_lsn, end_lsn, token } => {
                let previous = self.tail();
                if let Some(index) = trim::mark(previous, commit_lsn) {
                    let mark = Mark { previous, commit_lsn, index, token };
                    self.append(Record::Mark(mark), Some(end_lsn)).await;
                }
                self.pass(end_lsn).await;
            }
        }
    }

    fn tail(&self) -> Position {
        self.writer.tail().position
    }

    /// Opens the journal for what a stream brings, unless the stream ends before.
    async fn open(&mut self, history: &History, cut: Cut) {
        let mut ends = cut.clone();
        let opened = tokio::select! {
            biased;
            () = ends.wait() => return,
            opened = self.writer.open(history) => opened,
        };
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) => return self.leave(&error, &cut),
        };
        self.taking = Some(cut);
        if let Some(exchange) = &mut self.exchange {
            exchange.open();
        }
        // A transaction may be open still that a former writer has begun: its end comes before anything else.
        self.within = !self.writer.ends_transaction();
        self.owed = None;
        match opened {
            Opened::Continued => {}
            Opened::Created => tracing::info!("the journal begins"),
            Opened::Reset(reason) => {
                metrics::counter!(metric::SOURCE_RESETS, metric::REASON => reason).increment(1);
                tracing::warn!(reason, "changes may have been missed: every subscriber starts over");
            }
        }
    }

    /// Leaves the slot to whoever can write the journal.
    fn leave(&mut self, error: &journal::Error, stream: &Cut) {
        tracing::warn!(error = %Chain(error), "the journal cannot be opened: the slot is left to others");
        self.away = Some(stream.leave());
    }

    async fn append(&mut self, record: Record, reaches: Option<Lsn>) {
        self.put(Appended { record, reaches, stored: Vec::new() }).await;
    }

    async fn put(&mut self, appended: Appended) {
        self.within = !appended.record.ends_transaction();
        match self.writer.append(appended).await {
            Ok(()) => self.appended.increment(1),
            Err(error) => self.lose(&error),
        }
    }

    /// Sends a change to services, whether the journal had it already or not: the slot was not told of it.
    async fn send(&mut self, chunk: Chunk, reaches: Option<Lsn>) {
        if let (Some(exchange), true) = (&mut self.exchange, self.taking.is_some())
            && let Err(error) = exchange.send(chunk, reaches).await
        {
            self.lose(&error);
        }
    }

    async fn pass(&mut self, reaches: Lsn) {
        if let (Some(exchange), true) = (&mut self.exchange, self.taking.is_some())
            && let Err(error) = exchange.pass(reaches).await
        {
            self.lose(&error);
        }
    }

    /// Nothing comes any more of this stream.
    fn close(&mut self) {
        self.writer.close();
        if let Some(exchange) = &mut self.exchange {
            exchange.close();
        }
    }

    /// Appends events that services have published, all in one record, behind the last transaction: without moving on
    /// in the log, and of no transaction's own.
    async fn publish(&mut self, submissions: impl Iterator<Item = Submission>) {
        let (mut changes, mut stored, mut keys) = (Vec::new(), Vec::new(), HashSet::new());
        let mut bytes = 0;
        for submission in submissions {
            // Nobody waits any more: it was given back, and comes again.
            if submission.stored.is_closed() {
                continue;
            }
            if bytes >= EVENTS_BYTES {
                self.put_events(std::mem::take(&mut changes), std::mem::take(&mut stored)).await;
                bytes = 0;
            }
            let Submission { publication: Publication { event, key }, stored: tell } = submission;
            match self.writer.knows(&key) {
                Known::No if keys.insert(key) => {
                    bytes += event.data.len();
                    changes.push(Change::Event(event));
                    stored.push(tell);
                }
                Known::Stored => {
                    metrics::counter!(metric::PUBLISH_DUPLICATES).increment(1);
                    // Whoever asks no more has published it all the same.
                    _ = tell.send(());
                }
                // It is dropped, and comes again when it is known whether the first one was stored.
                Known::No | Known::OnItsWay => {}
            }
        }
        self.put_events(changes, stored).await;
    }

    async fn put_events(&mut self, changes: Vec<Change>, stored: Vec<oneshot::Sender<()>>) {
        if changes.is_empty() || self.taking.is_none() {
            return;
        }
        metrics::counter!(metric::PUBLISH_EVENTS).increment(changes.len() as u64);
        let previous = self.tail();
        let chunk = Chunk {
            previous,
            commit_lsn: previous.commit_lsn,
            xid: Xid::NONE,
            committed_at: journal::now(),
            first_index: previous.index,
            changes: changes.into(),
            last: true,
        };
        self.put(Appended { record: Record::Chunk(chunk), reaches: None, stored }).await;
    }

    /// Has all that the journal did not confirm come again.
    fn lose(&mut self, error: &journal::Error) {
        tracing::warn!(error = %Chain(error), "the journal cannot be written: what it has not confirmed comes again");
        if let Some(stream) = self.taking.take() {
            stream.cut();
        }
    }

    /// Takes nothing more of this stream.
    fn discard(&mut self, lost: Lost) {
        self.taking = None;
        self.close();
        match lost {
            Lost::Cut => tracing::debug!("the stream ended before PostgreSQL showed its last transactions"),
            Lost::OtherServer => tracing::warn!(
                "PostgreSQL is another cluster, or on another timeline, than the stream: waiting for the stream to be \
                 opened anew"
            ),
        }
    }
}

/// Waits until nothing can be sent to services any more, if anything is to be sent.
async fn lost(exchange: Option<&mut Exchange>) -> journal::Error {
    match exchange {
        Some(exchange) => exchange.lost().await,
        None => std::future::pending().await,
    }
}
