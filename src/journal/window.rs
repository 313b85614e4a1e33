mod ring;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use self::ring::Ring;
use super::Bounds;
use super::stretch::Stretch;
use crate::event::{Incarnation, Position, Record};

/// What a process holds of the journal, to be read by position. Cloning shares it.
#[derive(Clone, Debug)]
pub(super) struct Window(Arc<Shared>);

/// The one hand that fills the window: the writer itself, where the journal is nowhere else; else whoever reads it.
#[derive(Debug)]
pub(super) struct Feed(Arc<Shared>);

/// The one reader that nothing is evicted before: the hub.
#[derive(Debug)]
pub struct Follower {
    shared: Arc<Shared>,
    /// The ring that it reads.
    ring: u64,
}

/// Where a window starts: the end of a transaction in a life of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) incarnation: Incarnation,
    pub(super) position: Position,
}

/// Where the journal ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The present life.
    pub incarnation: Incarnation,
    /// The end of the last record.
    pub position: Position,
}

/// A place from which somebody will read; until this is dropped, what follows it is kept within
/// [`Bounds::held_bytes`].
#[derive(Debug)]
pub struct Hold {
    shared: Arc<Shared>,
    number: u64,
}

/// Where a cursor stands, seen from a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// At the end of a transaction that is kept, or where the window starts.
    Kept,
    /// Before the window.
    Older,
    /// Behind its end.
    Ahead,
    /// In a life of the journal that is over.
    OfFormerLife,
    /// In one that has not begun here.
    OfLaterLife,
    /// Where no transaction ends.
    Nowhere,
}

/// What a reader at a position gets.
#[derive(Debug)]
#[must_use]
pub enum Read {
    /// The records after it, oldest first; none if it is the end.
    Records(Vec<Arc<Record>>),
    /// The position is gone, or never was the end of a transaction here.
    Gap,
}

/// What the follower gets.
#[derive(Debug)]
pub enum Step {
    /// The next records, at least one.
    Records(Vec<Arc<Record>>),
    /// A new life has begun, or this process has lost its place: whatever anybody knew, they start over from here.
    Reset(Tail),
}

#[derive(Debug)]
struct Shared {
    bounds: Bounds,
    ring: Mutex<Ring>,
    /// Something was appended, or a new life began: for the follower.
    appended: Notify,
    /// The follower has read: for the writer.
    followed: Notify,
}

/// How many records the follower takes at once: enough to spread the lock, few enough to free the writer soon.
const FOLLOW_AT_ONCE: usize = 64;

/// An empty window at the beginning of a life.
pub(super) fn open(bounds: Bounds, incarnation: Incarnation) -> (Feed, Follower, Window) {
    let start = Start { incarnation, position: Position::default() };
    let shared = Arc::new(Shared {
        bounds,
        ring: Mutex::new(Ring::new(start, 0)),
        appended: Notify::new(),
        followed: Notify::new(),
    });
    (Feed(shared.clone()), Follower { shared: shared.clone(), ring: 0 }, Window(shared))
}

impl Feed {
    /// Where the window ends.
    pub(super) fn tail(&self) -> Tail {
        self.0.tail()
    }

    /// Appends `record`, which must name the tail as its predecessor; waits while the window is full of what the
    /// follower has not read.
    ///
    /// Cancel safe: a dropped call has appended nothing.
    ///
    /// # Panics
    /// If `record.previous()` is not the tail: the chain would be broken for every reader.
    pub(super) async fn append(&mut self, record: Record) {
        let bytes = record.size_bytes();
        let mut record = Some(record);
        loop {
            let followed = self.0.followed.notified();
            if self.0.ring.lock().admit(&mut record, bytes, &self.0.bounds) {
                self.0.appended.notify_one();
                return;
            }
            followed.await;
        }
    }

    /// Whether the window ends with a transaction's end.
    pub(super) fn ends_transaction(&self) -> bool {
        let ring = self.0.ring.lock();
        ring.index_after(ring.incarnation, ring.end()).is_some()
    }

    /// Starts over at another place: all that was kept is dropped, and all who follow are told.
    pub(super) fn reset(&mut self, start: Start) {
        let mut ring = self.0.ring.lock();
        *ring = Ring::new(start, ring.number + 1);
        drop(ring);
        self.0.appended.notify_one();
    }
}

impl Follower {
    /// The records that follow what was taken last, or the news of another life.
    ///
    /// Cancel safe: a dropped call has taken nothing.
    pub async fn next(&mut self) -> Step {
        let shared = self.shared.clone();
        loop {
            let appended = shared.appended.notified();
            if let Some(step) = self.take() {
                return step;
            }
            appended.await;
        }
    }

    fn take(&mut self) -> Option<Step> {
        let mut ring = self.shared.ring.lock();
        if ring.number != self.ring {
            self.ring = ring.number;
            return Some(Step::Reset(Tail { incarnation: ring.incarnation, position: ring.start }));
        }
        let from = ring.followed;
        let records: Vec<_> =
            ring.records.iter().skip(from).take(FOLLOW_AT_ONCE).map(|kept| kept.record.clone()).collect();
        if records.is_empty() {
            return None;
        }
        ring.followed += records.len();
        drop(ring);
        self.shared.followed.notify_one();
        Some(Step::Records(records))
    }
}

impl Window {
    /// Where the journal ends.
    pub(super) fn tail(&self) -> Tail {
        self.0.tail()
    }

    /// At most `limit` records after `position` in the life `incarnation`.
    ///
    /// Anything that is not the end of a transaction in this life and within its bounds is a [`Read::Gap`].
    pub(super) fn read(&self, incarnation: Incarnation, position: Position, limit: usize) -> Read {
        let ring = self.0.ring.lock();
        match ring.index_after(incarnation, position) {
            Some(index) => Read::Records(
                ring.records.iter().skip(index).take(limit).map(|kept| kept.record.clone()).collect(),
            ),
            None => Read::Gap,
        }
    }

    /// As [`Window::read`], for one who has read up to `position` already: the end of any record.
    pub(super) fn read_on(&self, incarnation: Incarnation, position: Position, limit: usize) -> Read {
        self.0.ring.lock().read(|ring| ring.index_behind(incarnation, position), limit)
    }

    /// The stretch that follows `position`, the end of a record in the life `incarnation`, up to `until`, the end of a
    /// transaction; `None` if it is gone.
    pub(super) fn stretch(
        &self,
        incarnation: Incarnation,
        position: Position,
        until: Position,
    ) -> Option<Stretch> {
        let bounded = self.0.ring.lock().stretch_behind(incarnation, position, until)?;
        Some(Stretch::of_window(self.clone(), incarnation, bounded))
    }

    /// Keeps what follows a position in the life `incarnation`, for one who will read it.
    #[must_use = "nothing is held once it is dropped"]
    pub(super) fn hold(&self, incarnation: Incarnation, position: Position) -> Hold {
        let mut ring = self.0.ring.lock();
        let number = fastrand::u64(..);
        if ring.incarnation == incarnation {
            ring.holds.insert(number, position);
        }
        Hold { shared: self.0.clone(), number }
    }

    /// Where a cursor stands.
    pub(super) fn standing(&self, incarnation: Incarnation, position: Position) -> Standing {
        let ring = self.0.ring.lock();
        if incarnation < ring.incarnation {
            Standing::OfFormerLife
        } else if incarnation > ring.incarnation {
            Standing::OfLaterLife
        } else if position < ring.start {
            Standing::Older
        } else if position > ring.end() {
            Standing::Ahead
        } else if ring.index_after(incarnation, position).is_some() {
            Standing::Kept
        } else {
            Standing::Nowhere
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.ring.lock().holds.remove(&self.number);
    }
}

impl Shared {
    fn tail(&self) -> Tail {
        let ring = self.ring.lock();
        Tail { incarnation: ring.incarnation, position: ring.end() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::{Chunk, Lsn, Timestamp, Xid};

    fn chunk(writer: &Feed, lsn: u64, first_index: u32, changes: usize, last: bool) -> Record {
        Record::Chunk(Chunk {
            previous: writer.tail().position,
            commit_lsn: Lsn::new(lsn),
            xid: Xid::new(lsn),
            committed_at: Timestamp::default(),
            first_index,
            changes: vec![crate::event::Change::Schema; changes].into(),
            last,
        })
    }

    fn bounds(memory_bytes: usize) -> Bounds {
        Bounds {
            memory_bytes,
            held_bytes: memory_bytes,
            max_age: Duration::from_mins(1),
            block_bytes: memory_bytes / 4,
        }
    }

    fn ends(read: Read) -> Option<Vec<u64>> {
        match read {
            Read::Records(records) => {
                Some(records.iter().map(|record| record.end().commit_lsn.get()).collect())
            }
            Read::Gap => None,
        }
    }

    #[tokio::test]
    async fn records_are_read_by_position_and_only_at_the_ends_of_transactions() {
        let (mut writer, mut follower, journal) = open(bounds(1 << 20), Incarnation(7));
        for (lsn, first, last) in [(10, 0, true), (20, 0, false), (20, 1, true), (30, 0, true)] {
            writer.append(chunk(&writer, lsn, first, 1, last)).await;
        }
        let life = journal.tail().incarnation;
        let at = |lsn, index| Position { commit_lsn: Lsn::new(lsn), index };
        assert_eq!(ends(journal.read(life, Position::default(), 9)), Some(vec![10, 20, 20, 30]));
        assert_eq!(ends(journal.read(life, at(10, 1), 2)), Some(vec![20, 20]));
        assert_eq!(ends(journal.read(life, at(30, 1), 9)), Some(vec![]));
        assert_eq!(ends(journal.read(life, at(20, 1), 9)), None, "within a transaction");
        assert_eq!(ends(journal.read(life, at(25, 1), 9)), None, "no such record");
        assert_eq!(ends(journal.read(Incarnation(life.0 ^ 1), at(10, 1), 9)), None, "another life");
        assert!(matches!(follower.next().await, Step::Records(records) if records.len() == 4));
    }

    #[tokio::test]
    async fn a_full_journal_evicts_what_was_followed_and_waits_for_the_rest() {
        let (mut writer, mut follower, journal) = open(bounds(4_000), Incarnation(7));
        let record = chunk(&writer, 1, 0, 10, true);
        let fits = 4_000 / record.size_bytes();
        let life = journal.tail().incarnation;
        for lsn in 1..=fits as u64 {
            writer.append(chunk(&writer, lsn, 0, 10, true)).await;
        }
        let next = chunk(&writer, 100, 0, 10, true);
        let waits = tokio::time::timeout(Duration::from_millis(20), writer.append(next.clone())).await;
        assert!(waits.is_err(), "nothing was followed yet");
        assert!(matches!(follower.next().await, Step::Records(_)));
        writer.append(next).await;
        assert_eq!(ends(journal.read(life, Position::default(), 99)), None, "the first was evicted");
        assert_eq!(journal.standing(life, Position::default()), Standing::Older);
        let first = Position { commit_lsn: Lsn::new(1), index: 10 };
        assert_eq!(ends(journal.read(life, first, 99)).map(|read| read.len()), Some(fits));
        assert!(matches!(follower.next().await, Step::Records(_)));
        writer.append(chunk(&writer, 200, 0, 1_000, true)).await;
        assert_eq!(
            ends(journal.read(life, Position { commit_lsn: Lsn::new(100), index: 10 }, 99)),
            Some(vec![200])
        );
    }

    #[tokio::test]
    async fn what_is_held_stays_within_its_bound_and_goes_with_the_hold() {
        let (mut writer, mut follower, journal) = open(bounds(4_000), Incarnation(7));
        let fits = 4_000 / chunk(&writer, 1, 0, 10, true).size_bytes();
        let (life, origin) = (journal.tail().incarnation, Position::default());
        let hold = journal.hold(life, origin);
        let mut lsn = 0;
        let mut write = async |count: usize| {
            for _ in 0..count {
                lsn += 1;
                writer.append(chunk(&writer, lsn, 0, 10, true)).await;
                assert!(matches!(follower.next().await, Step::Records(_)));
            }
        };
        write(2 * fits).await;
        assert_eq!(ends(journal.read(life, origin, 999)).map(|read| read.len()), Some(2 * fits));
        write(2).await;
        assert_eq!(ends(journal.read(life, origin, 999)), None, "beyond what is kept for holds");
        drop(hold);
        write(1).await;
        let kept = journal.0.ring.lock().bytes;
        assert!(kept <= 4_000, "{kept} bytes are kept for nobody");
    }

    #[tokio::test]
    async fn a_new_life_forgets_the_old_one() {
        let (mut writer, mut follower, journal) = open(bounds(1 << 20), Incarnation(7));
        writer.append(chunk(&writer, 10, 0, 1, true)).await;
        let old = journal.tail();
        let new = Start { incarnation: Incarnation(8), position: Position::default() };
        writer.reset(new);
        assert!(new.incarnation > old.incarnation);
        assert_eq!(journal.standing(old.incarnation, old.position), Standing::OfFormerLife);
        assert!(
            matches!(follower.next().await, Step::Reset(tail) if tail == journal.tail() && tail.incarnation == new.incarnation)
        );
    }
}
