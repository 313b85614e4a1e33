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

mod heartbeat;
mod trim;
mod visible;

use metrics::Counter;
use tokio::sync::{mpsc, watch};

use crate::event::{Chunk, Lsn, Mark, Record};
use crate::journal::Writer;
use crate::postgres::Pool;
use crate::shutdown::Scope;
use crate::source::{Continuity, Delivery};
use crate::telemetry::metric;

pub use heartbeat::heartbeat;
use trim::Trim;
use visible::{Lost, Visible};

/// Whether changes are coming in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not yet, or not at the moment.
    Connecting,
    /// The slot is held, and what is committed comes in.
    Streaming,
}

/// The relay's state.
struct Relay {
    writer: Writer,
    trim: Trim,
    visible: Visible,
    confirmed: watch::Sender<Lsn>,
    status: watch::Sender<Status>,
    /// What comes is of a server whose word no longer holds, until it is opened anew.
    discarding: bool,
    /// The stream has been open before: somebody may follow it.
    opened: bool,
    /// Looked up once, not with every record.
    appended: Counter,
}

/// How many deliveries are taken at once: one query tells of all of them.
const DELIVERIES_AT_ONCE: usize = 64;

/// Runs until `scope` closes or the source ends.
pub async fn run(
    pool: Pool,
    mut deliveries: mpsc::Receiver<Delivery>,
    writer: Writer,
    confirmed: watch::Sender<Lsn>,
    status: watch::Sender<Status>,
    scope: Scope,
) {
    let mut relay = Relay {
        writer,
        trim: Trim::default(),
        visible: Visible::new(pool),
        confirmed,
        status,
        discarding: false,
        opened: false,
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
        if deliveries.recv_many(batch, DELIVERIES_AT_ONCE).await == 0 {
            return false;
        }
        for delivery in batch.drain(..) {
            self.take(delivery).await;
        }
        true
    }

    async fn take(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Opened { system_id, timeline, continuity, cut, .. } => {
                self.discarding = false;
                self.visible.opened(system_id, timeline, cut);
                self.trim.restart();
                if let Continuity::Reset(reason) = continuity {
                    self.reset(reason.as_str());
                }
                self.opened = true;
                self.status.send_replace(Status::Streaming);
            }
            Delivery::Closed => {
                self.trim.restart();
                self.visible.closed();
                self.status.send_replace(Status::Connecting);
            }
            _ if self.discarding => {}
            Delivery::Chunk { commit_lsn, end_lsn, xid, committed_at, first_index, changes, last } => {
                let Some((first_index, changes)) =
                    self.trim.chunk(self.writer.tail().position, commit_lsn, first_index, changes)
                else {
                    return;
                };
                match self.visible.wait_for(xid).await {
                    Ok(xid) => {
                        let previous = self.writer.tail().position;
                        let changes = changes.into();
                        let chunk =
                            Chunk { previous, commit_lsn, xid, committed_at, first_index, changes, last };
                        self.append(Record::Chunk(chunk), last.then_some(end_lsn)).await;
                    }
                    Err(lost) => self.discard(lost),
                }
            }
            Delivery::Mark { commit_lsn, end_lsn, token } => {
                let previous = self.writer.tail().position;
                if let Some(index) = self.trim.mark(previous, commit_lsn) {
                    let mark = Mark { previous, commit_lsn, index, token };
                    self.append(Record::Mark(mark), Some(end_lsn)).await;
                }
            }
        }
    }

    async fn append(&mut self, record: Record, confirms: Option<Lsn>) {
        self.writer.append(record).await;
        self.appended.increment(1);
        if let Some(end_lsn) = confirms {
            self.confirmed.send_if_modified(|confirmed| {
                let moves = end_lsn > *confirmed;
                *confirmed = end_lsn.max(*confirmed);
                moves
            });
        }
    }

    /// Begins a new life of the journal, unless nobody has seen this one: before the stream is open for the first time,
    /// nobody can subscribe.
    fn reset(&mut self, reason: &'static str) {
        self.confirmed.send_replace(Lsn::ZERO);
        self.trim.restart();
        if !std::mem::replace(&mut self.opened, true) {
            return;
        }
        self.writer.reset();
        metrics::counter!(metric::SOURCE_RESETS, metric::REASON => reason).increment(1);
        tracing::warn!(reason, "changes may have been missed: every subscriber starts over");
    }

    /// Takes nothing more of this stream: what was not appended comes again, or never was.
    fn discard(&mut self, lost: Lost) {
        self.discarding = true;
        self.status.send_replace(Status::Connecting);
        match lost {
            Lost::Cut => tracing::debug!("the stream ended before PostgreSQL showed its last transactions"),
            Lost::OtherServer => tracing::warn!(
                "PostgreSQL is another cluster, or on another timeline, than the stream: waiting for the stream to be \
                 opened anew"
            ),
        }
    }
}
