use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Fingerprint, Place, Selection, Ticket};
use crate::event::{Lsn, Position};
use crate::protocol::{ErrorFrame, Frame, ResyncReason};

/// What waits to be written to one connection, bounded in bytes.
///
/// The hub offers and never waits; the session takes all there is and writes it at once.
#[derive(Debug)]
pub struct Outbox {
    limit_bytes: usize,
    queue: Mutex<Queue>,
    /// Something waits: for the one session.
    filled: Notify,
    /// There is room again: for those who bring snapshots and replays at the reader's pace.
    drained: Notify,
}

/// A subscription's number on its connection; never used twice on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReaderKey(pub u32);

impl ReaderKey {
    /// No reader's: for notes that concern the whole connection.
    pub const NONE: Self = Self(u32::MAX);
}

/// A frame as the hub made it, once for all who see the same.
#[derive(Debug)]
pub struct Delivery {
    /// The frame.
    pub frame: Frame,
    /// What the reader has once it has this; absent within a transaction.
    pub cursor: Option<Stamp>,
    /// The shape that the cursor belongs to; channels have none.
    pub shape: Option<Fingerprint>,
}

impl Delivery {
    /// A frame without a cursor.
    pub const fn plain(frame: Frame) -> Self {
        Self { frame, cursor: None, shape: None }
    }
}

/// A position, and the cursor that says it.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// Where it is.
    pub position: Position,
    /// The cursor's text.
    pub text: Arc<str>,
}

/// One frame that waits.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Whose it is; `None` for what concerns the whole connection.
    pub reader: Option<ReaderKey>,
    /// The frame.
    pub delivery: Arc<Delivery>,
}

/// What a session learns of one of its readers, behind all that was queued for it before.
#[derive(Clone, Debug)]
pub enum Note {
    /// It is let in: the hub delivers to it what the selection selects.
    Live(Ticket, Selection),
    /// The hub no longer delivers to it, or could not begin to.
    Fell(Fall),
    /// Not of one reader: the hub has passed a position that the client awaits.
    Passed(Lsn),
}

/// Why the hub no longer delivers to a reader.
#[derive(Clone, Debug)]
pub enum Fall {
    /// The outbox was full: what comes after the place is in the journal.
    Behind(Place),
    /// It must start over.
    Resync(ResyncReason),
    /// It has ended.
    Failed(Box<ErrorFrame>),
}

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Offer {
    /// It will be written.
    Queued,
    /// There is no room; nothing of it was taken.
    Full,
    /// The connection has ended.
    Closed,
}

/// All that waited.
#[derive(Debug, Default)]
pub struct Batch {
    /// Frames, in order.
    pub entries: VecDeque<Entry>,
    /// What became of readers after those frames, in order.
    pub notes: Vec<(ReaderKey, Note)>,
}

#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<Entry>,
    notes: Vec<(ReaderKey, Note)>,
    bytes: usize,
    /// How many wait for an empty outbox.
    reserved: u32,
    closed: bool,
}

/// Keeps an outbox for one who needs all of it.
struct Reserved<'a>(&'a Outbox);

impl<'a> Reserved<'a> {
    fn new(outbox: &'a Outbox) -> Self {
        outbox.queue.lock().reserved += 1;
        Self(outbox)
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue.lock();
        queue.reserved = queue.reserved.saturating_sub(1);
        self.0.drained.notify_waiters();
    }
}

/// What a queued frame costs besides its shared bytes: the entry, and the head with id and cursor when it is written.
const ENTRY_BYTES: usize = 128;

impl Outbox {
    /// An empty outbox that holds at most `limit_bytes`, or one offer that is larger.
    pub fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, queue: Mutex::default(), filled: Notify::new(), drained: Notify::new() }
    }

    /// Takes all of `deliveries` or none.
    pub fn offer(&self, reader: ReaderKey, deliveries: &[Arc<Delivery>]) -> Offer {
        let cost = Self::cost(deliveries);
        let mut queue = self.queue.lock();
        if queue.closed {
            return Offer::Closed;
        }
        let oversized = cost > self.limit_bytes;
        if queue.bytes > 0 && queue.bytes + cost > self.limit_bytes || queue.reserved > 0 && !oversized {
            return Offer::Full;
        }
        let entries =
            deliveries.iter().map(|delivery| Entry { reader: Some(reader), delivery: delivery.clone() });
        self.fill(&mut queue, |queue| {
            queue.bytes += cost;
            queue.entries.extend(entries);
        });
        Offer::Queued
    }

    /// Tells the session what became of `reader`, after all that was queued for it; [`Offer::Closed`] if there is no
    /// session any more.
    pub fn note(&self, reader: ReaderKey, note: Note) -> Offer {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Offer::Closed;
        }
        self.fill(&mut queue, |queue| queue.notes.push((reader, note)));
        Offer::Queued
    }

    /// Queues a frame however full the outbox is: for the few that a session owes its client by protocol, each of
    /// which answers something that the client was allowed to send.
    pub fn push(&self, reader: Option<ReaderKey>, delivery: Delivery) {
        let delivery = Arc::new(delivery);
        let cost = cost(&delivery);
        let mut queue = self.queue.lock();
        if !queue.closed {
            self.fill(&mut queue, |queue| {
                queue.bytes += cost;
                queue.entries.push_back(Entry { reader, delivery });
            });
        }
    }

    /// As [`Outbox::push`], a plain frame for the whole connection.
    pub fn push_frame(&self, frame: Frame) {
        self.push(None, Delivery::plain(frame));
    }

    /// Waits until the connection has ended.
    pub async fn closed(&self) {
        _ = self.wait(|_| false).await;
    }

    /// Why a reader was refused, if that is all that waits.
    pub fn refusal(&self) -> Option<ErrorFrame> {
        let queue = self.queue.lock();
        match &*queue.notes {
            [(_, Note::Fell(Fall::Failed(error)))] if queue.entries.is_empty() => Some((**error).clone()),
            _ => None,
        }
    }

    /// What an offer takes of an outbox, in bytes.
    pub fn cost(deliveries: &[Arc<Delivery>]) -> usize {
        deliveries.iter().map(|delivery| cost(delivery)).sum()
    }

    /// Waits until at most half of the outbox is taken and an offer of `cost` fits, or the connection has ended.
    ///
    /// What fits no outbox waits for an empty one, and until then nothing else is taken: on a busy connection it would
    /// wait for ever.
    pub async fn room(&self, cost: usize) -> Offer {
        let oversized = cost > self.limit_bytes;
        let _reserved = oversized.then(|| Reserved::new(self));
        let fits =
            |queue: &Queue| queue.bytes * 2 <= self.limit_bytes && queue.bytes + cost <= self.limit_bytes;
        self.wait(|queue| {
            if oversized {
                queue.bytes == 0
            } else {
                queue.reserved == 0 && (queue.bytes == 0 || fits(queue))
            }
        })
        .await
    }

    async fn wait(&self, enough: impl Fn(&Queue) -> bool) -> Offer {
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            {
                let queue = self.queue.lock();
                if queue.closed {
                    return Offer::Closed;
                }
                if enough(&queue) {
                    return Offer::Queued;
                }
            }
            drained.await;
        }
    }

    /// Waits until something waits. Cancel safe.
    pub async fn filled(&self) {
        loop {
            if self.waits() {
                return;
            }
            self.filled.notified().await;
        }
    }

    /// Whether something waits.
    pub fn waits(&self) -> bool {
        let queue = self.queue.lock();
        !queue.entries.is_empty() || !queue.notes.is_empty()
    }

    /// Takes all that waits into `batch`, which is empty; its memory is used again. What was taken counts against
    /// the limit until [`Outbox::written`].
    pub fn take(&self, batch: &mut Batch) {
        let mut queue = self.queue.lock();
        std::mem::swap(&mut queue.entries, &mut batch.entries);
        std::mem::swap(&mut queue.notes, &mut batch.notes);
    }

    /// Makes room for as much as `entries` took.
    pub fn written(&self, entries: &VecDeque<Entry>) {
        let freed = entries.iter().map(|entry| cost(&entry.delivery)).sum::<usize>();
        let mut queue = self.queue.lock();
        queue.bytes = queue.bytes.saturating_sub(freed);
        if queue.bytes * 2 <= self.limit_bytes {
            self.drained.notify_waiters();
        }
    }

    /// Takes nothing any more, and drops the frames that wait; gives back the notes, which may tell of readers that the
    /// hub has let in meanwhile.
    pub fn close(&self) -> Vec<(ReaderKey, Note)> {
        let queue = std::mem::replace(&mut *self.queue.lock(), Queue { closed: true, ..Queue::default() });
        self.drained.notify_waiters();
        queue.notes
    }

    fn fill(&self, queue: &mut Queue, fill: impl FnOnce(&mut Queue)) {
        let slept = queue.entries.is_empty() && queue.notes.is_empty();
        fill(queue);
        if slept {
            self.filled.notify_one();
        }
    }
}

fn cost(delivery: &Delivery) -> usize {
    delivery.frame.len() + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery() -> Arc<Delivery> {
        Arc::new(Delivery::plain(Frame::progress(Lsn::ZERO)))
    }

    #[tokio::test]
    async fn what_fits_no_outbox_gets_an_empty_one_though_others_offer_all_the_time() {
        let one = cost(&delivery());
        let outbox = Outbox::new(3 * one);
        let (small, large) = ([delivery()], vec![delivery(); 4]);
        assert_eq!(outbox.offer(ReaderKey(1), &small), Offer::Queued);
        assert_eq!(outbox.offer(ReaderKey(2), &large), Offer::Full);
        let room = outbox.room(4 * one);
        tokio::pin!(room);
        assert!(futures_util::poll!(room.as_mut()).is_pending());
        assert_eq!(outbox.offer(ReaderKey(1), &small), Offer::Full, "kept for the large one");
        let other = outbox.room(one);
        tokio::pin!(other);
        assert!(futures_util::poll!(other.as_mut()).is_pending(), "and so there is no room for others");
        let mut batch = Batch::default();
        outbox.take(&mut batch);
        outbox.written(&batch.entries);
        assert_eq!(room.await, Offer::Queued);
        assert_eq!(outbox.offer(ReaderKey(2), &large), Offer::Queued);
        assert_eq!(outbox.offer(ReaderKey(1), &small), Offer::Full, "no room, and no longer kept");
        let mut batch = Batch::default();
        outbox.take(&mut batch);
        outbox.written(&batch.entries);
        assert_eq!(other.await, Offer::Queued);
    }

    #[tokio::test]
    async fn an_outbox_takes_all_of_an_offer_or_none() {
        let one = cost(&delivery());
        let outbox = Outbox::new(3 * one);
        let two = [delivery(), delivery()];
        assert_eq!(outbox.offer(ReaderKey(1), &two), Offer::Queued);
        assert_eq!(outbox.offer(ReaderKey(1), &two), Offer::Full);
        assert_eq!(outbox.offer(ReaderKey(1), &two[..1]), Offer::Queued);
        let mut batch = Batch::default();
        outbox.take(&mut batch);
        assert_eq!(batch.entries.len(), 3);
        assert_eq!(outbox.offer(ReaderKey(1), &two), Offer::Full, "not yet written");
        outbox.written(&batch.entries);
        assert_eq!(outbox.room(2 * one).await, Offer::Queued);
        assert_eq!(outbox.offer(ReaderKey(1), &vec![delivery(); 9]), Offer::Queued, "alone, however large");
        assert!(outbox.close().is_empty());
        assert_eq!(outbox.offer(ReaderKey(1), &two), Offer::Closed);
        assert_eq!(outbox.room(2 * one).await, Offer::Closed);
    }
}
