use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Place;
use crate::event::Position;
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

/// A frame as the hub made it, once for all who see the same.
#[derive(Debug)]
pub struct Delivery {
    /// The frame.
    pub frame: Frame,
    /// What the reader has once it has this; absent within a transaction.
    pub cursor: Option<Stamp>,
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
    /// Readers that the hub dropped after those frames.
    pub falls: Vec<(ReaderKey, Fall)>,
}

#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<Entry>,
    falls: Vec<(ReaderKey, Fall)>,
    bytes: usize,
    closed: bool,
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
        let cost = deliveries.iter().map(|delivery| cost(delivery)).sum::<usize>();
        let mut queue = self.queue.lock();
        if queue.closed {
            return Offer::Closed;
        }
        if queue.bytes > 0 && queue.bytes + cost > self.limit_bytes {
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

    /// Tells the session that the hub has dropped `reader`, after all that was queued for it.
    pub fn drop_reader(&self, reader: ReaderKey, fall: Fall) {
        let mut queue = self.queue.lock();
        if !queue.closed {
            self.fill(&mut queue, |queue| queue.falls.push((reader, fall)));
        }
    }

    /// Queues a frame however full the outbox is: for the few that a session owes its client by protocol, each of
    /// which answers something that the client was allowed to send.
    pub fn push(&self, reader: Option<ReaderKey>, frame: Frame, cursor: Option<Stamp>) {
        let delivery = Arc::new(Delivery { frame, cursor });
        let cost = cost(&delivery);
        let mut queue = self.queue.lock();
        if !queue.closed {
            self.fill(&mut queue, |queue| {
                queue.bytes += cost;
                queue.entries.push_back(Entry { reader, delivery });
            });
        }
    }

    /// Waits until at most half of the outbox is taken.
    ///
    /// # Errors
    /// [`Offer::Closed`] if the connection has ended.
    pub async fn room(&self) -> Offer {
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            {
                let queue = self.queue.lock();
                if queue.closed {
                    return Offer::Closed;
                }
                if queue.bytes * 2 <= self.limit_bytes {
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
        !queue.entries.is_empty() || !queue.falls.is_empty()
    }

    /// Takes all that waits into `batch`, which is empty; its memory is used again. What was taken counts against
    /// the limit until [`Outbox::written`].
    pub fn take(&self, batch: &mut Batch) {
        let mut queue = self.queue.lock();
        std::mem::swap(&mut queue.entries, &mut batch.entries);
        std::mem::swap(&mut queue.falls, &mut batch.falls);
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

    /// Takes nothing any more; what waits is dropped.
    pub fn close(&self) {
        let mut queue = self.queue.lock();
        *queue = Queue { closed: true, ..Queue::default() };
        self.drained.notify_waiters();
    }

    fn fill(&self, queue: &mut Queue, fill: impl FnOnce(&mut Queue)) {
        let slept = queue.entries.is_empty() && queue.falls.is_empty();
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
    use crate::event::Lsn;

    fn delivery() -> Arc<Delivery> {
        Arc::new(Delivery { frame: Frame::progress(Lsn::ZERO), cursor: None })
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
        assert_eq!(outbox.room().await, Offer::Queued);
        assert_eq!(outbox.offer(ReaderKey(1), &vec![delivery(); 9]), Offer::Queued, "alone, however large");
        outbox.close();
        assert_eq!(outbox.offer(ReaderKey(1), &two), Offer::Closed);
        assert_eq!(outbox.room().await, Offer::Closed);
    }
}
