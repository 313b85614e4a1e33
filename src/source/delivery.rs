use std::sync::Arc;

use tokio::sync::{Notify, watch};

use crate::event::{Change, Lsn, Timestamp};

/// What the source hands on, in the order of the log.
///
/// Positions of chunks and marks never go back, but for what comes again after [`Delivery::Closed`].
#[derive(Clone, Debug, PartialEq)]
pub enum Delivery {
    /// The stream is open; what follows goes on where the last one stopped, or a new life begins.
    Opened {
        /// The system identifier: one a cluster, its standbys included.
        system_id: u64,
        /// The timeline: a new one after each failover and each recovery to a point in time.
        timeline: u32,
        /// Every transaction whose commit record starts at or behind this place is delivered.
        starts_at: Lsn,
        /// How much of the log is on disk: nothing beyond was ever delivered of this history.
        flushed: Lsn,
        /// Whether anything may lie between the last delivery and the next.
        continuity: Continuity,
        /// Tells when this stream ends.
        cut: Cut,
    },
    /// A part of a transaction; its parts follow each other with nothing in between but [`Delivery::Closed`].
    Chunk {
        /// Where the transaction's commit record starts in the log: the same for all its parts.
        commit_lsn: Lsn,
        /// In the last part, where the commit record ends: once that is confirmed, the transaction does not come
        /// again. In the parts before it, where it starts.
        end_lsn: Lsn,
        /// The transaction, in 32 bits.
        xid: u32,
        /// When it committed, by PostgreSQL's clock.
        committed_at: Timestamp,
        /// How many changes of the transaction came in earlier parts.
        first_index: u32,
        /// This part's changes, in the order in which they were made; never empty.
        changes: Vec<Change>,
        /// Whether this part ends the transaction.
        last: bool,
    },
    /// A position passed, with nothing of interest before it since the last delivery.
    Mark {
        /// The position: behind every commit record delivered before. Several tokens of one transaction share it.
        commit_lsn: Lsn,
        /// Once this is confirmed, nothing up to here comes again.
        end_lsn: Lsn,
        /// The number that was written into the log, if one was: who waits for it.
        token: Option<u64>,
    },
    /// The connection is lost. A transaction that was cut in the middle comes again, from its first change, and so
    /// does all that was delivered and not confirmed.
    Closed,
}

/// Tells when a stream has ended, past all that still waits to be taken, [`Delivery::Closed`] included: what came of it
/// and is not confirmed comes again, or was of a history that is no more.
///
/// Whoever has lost what it had not confirmed cuts the stream itself; and leaves the slot, where nothing could come of
/// another one yet.
#[derive(Clone, Debug)]
pub struct Cut {
    ended: watch::Receiver<()>,
    reader: Arc<Wishes>,
}

/// Held for as long as a stream goes on.
#[derive(Debug)]
pub(super) struct Uncut {
    _alive: watch::Sender<()>,
    reader: Arc<Wishes>,
}

/// What the reader of a stream wants.
#[derive(Debug)]
struct Wishes {
    /// That it ends.
    cut: Notify,
    /// That none follows it.
    away: watch::Sender<bool>,
}

/// The reader does without a stream: for as long as this is held the slot is left to whoever else wants it.
#[derive(Debug)]
#[must_use = "the slot is taken again once it is dropped"]
pub struct Away(Arc<Wishes>);

/// Tells when the reader of a stream that has ended wants another one.
#[derive(Debug)]
pub(super) struct Return(watch::Receiver<bool>);

impl Uncut {
    /// Waits until the reader wants all that it has not confirmed to come again. Cancel safe.
    pub(super) async fn wanted(&self) {
        self.reader.cut.notified().await;
    }

    /// When another stream is wanted, if the reader is away.
    pub(super) fn returns(&self) -> Option<Return> {
        self.reader.away.borrow().then(|| Return(self.reader.away.subscribe()))
    }
}

impl Return {
    /// Waits until the reader wants another stream. Cancel safe.
    pub(super) async fn wait(mut self) {
        // A reader that is gone takes nothing: the source ends by that.
        _ = self.0.wait_for(|away| !away).await;
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        self.0.away.send_replace(false);
    }
}

impl Cut {
    pub(super) fn new() -> (Uncut, Self) {
        let (alive, ended) = watch::channel(());
        let reader = Arc::new(Wishes { cut: Notify::new(), away: watch::channel(false).0 });
        (Uncut { _alive: alive, reader: reader.clone() }, Self { ended, reader })
    }

    /// Waits until the stream has ended. Cancel safe.
    pub async fn wait(&mut self) {
        while self.ended.changed().await.is_ok() {}
    }

    /// Cuts the stream, so that all that was not confirmed comes again with the next one.
    pub fn cut(&self) {
        self.reader.cut.notify_one();
    }

    /// Cuts the stream, and has the slot left to others: the next stream, in which all comes again that was not confirmed,
    /// is opened when the reader is back.
    pub fn leave(&self) -> Away {
        self.reader.away.send_replace(true);
        self.cut();
        Away(self.reader.clone())
    }
}

/// Of the same stream.
impl PartialEq for Cut {
    fn eq(&self, other: &Self) -> bool {
        self.ended.same_channel(&other.ended)
    }
}

/// Whether anything may lie between the last delivery and the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// Nothing does. On the first opening of a process, as far as the slot alone can tell.
    Continued,
    /// Something may: what was known of the rows is void.
    Reset(Reason),
}

/// Why what was known of the rows is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There was no slot, and this process had never had one.
    SlotCreated,
    /// The slot was dropped or invalidated, or could not be read any further.
    SlotLost,
    /// Someone else has read from the slot, or dropped it and created it again.
    SlotAdvanced,
    /// Another cluster answers.
    SystemChanged,
    /// The cluster was promoted or recovered to a point in time: what it had confirmed may never have happened.
    TimelineChanged,
    /// The cluster was put back to an earlier state of its files: what it had told is not in its log any more.
    LogWentBack,
}

impl Reason {
    /// The word for it in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SlotCreated => "slot_created",
            Self::SlotLost => "slot_lost",
            Self::SlotAdvanced => "slot_advanced",
            Self::SystemChanged => "system_changed",
            Self::TimelineChanged => "timeline_changed",
            Self::LogWentBack => "log_went_back",
        }
    }
}
