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
//! relay cuts the source's stream, all that was not confirmed comes again, and what the journal has is trimmed.

mod heartbeat;
mod trim;
mod visible;

use metrics::Counter;
use tokio::sync::mpsc;

use crate::event::{Chunk, Lsn, Mark, Position, Record};
use crate::journal::{self, Appended, History, Opened, Writer};
use crate::postgres::Pool;
use crate::shutdown::Scope;
use crate::source::{Cut, Delivery};
use crate::telemetry::{Chain, metric};

pub use heartbeat::heartbeat;
use trim::Trim;
use visible::{Lost, Visible};

/// The relay's state.
struct Relay {
    writer: Writer,
    trim: Trim,
    visible: Visible,
    /// The stream that what comes is taken from; `None` while all is left: it comes again with the next stream, or
    /// never was.
    taking: Option<Cut>,
    /// Looked up once, not with every record.
    appended: Counter,
}

/// How many deliveries are taken at once: one query tells of all of them.
const DELIVERIES_AT_ONCE: usize = 64;

/// Runs until `scope` closes or the source ends.
pub async fn run(pool: Pool, mut deliveries: mpsc::Receiver<Delivery>, writer: Writer, scope: Scope) {
    let mut relay = Relay {
        writer,
        trim: Trim::default(),
        visible: Visible::new(pool),
        taking: None,
        appended: metrics::counter!(metric::JOURNAL_APPENDED),
    };
    let mut batch = Vec::with_capacity(DELIVERIES_AT_ONCE);
    loop {
        tokio::select! {
            biased;
            // 1. Shutdown: what was not appended comes again in the next life.
            () = scope.closing() => return,
            // 2. What was committed.
            taken = relay.next(&mut deliveries, &mut batch) => if !taken { return },
        }
    }
}

impl Relay {
    /// Takes a batch and moves it on; `false` at the source's end.
    async fn next(&mut self, deliveries: &mut mpsc::Receiver<Delivery>, batch: &mut Vec<Delivery>) -> bool {
        tokio::select! {
            biased;
            // 1. The journal: what it has not confirmed has to come again.
            error = self.writer.lost(), if self.taking.is_some() => self.lose(&error),
            // 2. What was committed.
            taken = deliveries.recv_many(batch, DELIVERIES_AT_ONCE) => if taken == 0 { return false },
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
                self.trim.restart();
                self.open(&History { system_id, timeline, starts_at, flushed, continuity }, cut).await;
            }
            Delivery::Closed => {
                self.taking = None;
                self.trim.restart();
                self.visible.closed();
                self.writer.close();
            }
            _ if self.taking.is_none() => {}
            Delivery::Chunk { commit_lsn, end_lsn, xid, committed_at, first_index, changes, last } => {
                let Some((first_index, changes)) =
                    self.trim.chunk(self.tail(), commit_lsn, first_index, changes)
                else {
                    return;
                };
                match self.visible.wait_for(xid).await {
                    Ok(xid) => {
                        let previous = self.tail();
                        let changes = changes.into();
                        let chunk =
                            Chunk { previous, commit_lsn, xid, committed_at, first_index, changes, last };
                        self.append(Record::Chunk(chunk), last.then_some(end_lsn)).await;
                    }
                    Err(lost) => self.discard(lost),
                }
            }
            Delivery::Mark { commit_lsn, end_lsn, token } => {
                let previous = self.tail();
                if let Some(index) = self.trim.mark(previous, commit_lsn) {
                    let mark = Mark { previous, commit_lsn, index, token };
                    self.append(Record::Mark(mark), Some(end_lsn)).await;
                }
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
        self.taking = Some(cut);
        match opened {
            Ok(Opened::Continued) => {}
            Ok(Opened::Created) => tracing::info!("the journal begins"),
            Ok(Opened::Reset(reason)) => {
                metrics::counter!(metric::SOURCE_RESETS, metric::REASON => reason).increment(1);
                tracing::warn!(reason, "changes may have been missed: every subscriber starts over");
            }
            Err(error) => self.lose(&error),
        }
    }

    async fn append(&mut self, record: Record, reaches: Option<Lsn>) {
        match self.writer.append(Appended { record, reaches }).await {
            Ok(()) => self.appended.increment(1),
            Err(error) => self.lose(&error),
        }
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
        self.writer.close();
        match lost {
            Lost::Cut => tracing::debug!("the stream ended before PostgreSQL showed its last transactions"),
            Lost::OtherServer => tracing::warn!(
                "PostgreSQL is another cluster, or on another timeline, than the stream: waiting for the stream to be \
                 opened anew"
            ),
        }
    }
}
