//! What a window holds: records by position, bounded in bytes and age.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use metrics::Gauge;

use super::{Read, Start};
use crate::event::{Incarnation, Position, Record};
use crate::journal::Bounds;
use crate::journal::stretch::{Bounded, next_number};
use crate::telemetry::metric;

#[derive(Debug)]
pub(super) struct Ring {
    pub(super) incarnation: Incarnation,
    /// Tells a ring from the one before it, which may be of the same life.
    pub(super) number: u64,
    pub(super) records: VecDeque<Kept>,
    pub(super) bytes: usize,
    /// How many of `records`, from the front, the follower has read.
    pub(super) followed: usize,
    /// Places that are held, by the number of the hold.
    pub(super) holds: HashMap<u64, Position>,
    /// The end of what was evicted last, or where this life starts.
    pub(super) start: Position,
    /// Whether a cursor may point at `start`.
    start_ends_transaction: bool,
    /// The stretches that it holds something of, oldest first.
    stretches: VecDeque<Begun>,
    /// How much is in the newest one.
    stretch_bytes: usize,
    gauges: Gauges,
}

/// What moves with every record: looked up once a life, not each time.
struct Gauges {
    bytes: Gauge,
    records: Gauge,
}

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauges").finish_non_exhaustive()
    }
}

/// Where a stretch begins: the end of a transaction.
#[derive(Clone, Copy, Debug)]
struct Begun {
    number: u64,
    from: Position,
}

#[derive(Debug)]
pub(super) struct Kept {
    pub(super) record: Arc<Record>,
    bytes: usize,
    at: Instant,
}

impl Ring {
    /// An empty one that starts at a place, the ring of that number.
    pub(super) fn new(start: Start, number: u64) -> Self {
        Self {
            incarnation: start.incarnation,
            number,
            records: VecDeque::new(),
            bytes: 0,
            followed: 0,
            holds: HashMap::new(),
            start: start.position,
            start_ends_transaction: true,
            stretches: VecDeque::new(),
            stretch_bytes: 0,
            gauges: Gauges {
                bytes: metrics::gauge!(metric::JOURNAL_BYTES),
                records: metrics::gauge!(metric::JOURNAL_RECORDS),
            },
        }
    }

    pub(super) fn end(&self) -> Position {
        self.records.back().map_or(self.start, |kept| kept.record.end())
    }

    /// Takes the record if there is room or can be made; tells whether it did.
    pub(super) fn admit(&mut self, record: &mut Option<Record>, bytes: usize, bounds: &Bounds) -> bool {
        let now = Instant::now();
        while let Some(front) = self.records.front() {
            let full = self.bytes + bytes > bounds.memory_bytes;
            let stale = now.duration_since(front.at) > bounds.max_age;
            if !full && !stale {
                break;
            }
            if self.followed == 0 {
                if full {
                    return false;
                }
                break;
            }
            if self.bytes + bytes <= bounds.memory_bytes + bounds.held_bytes && self.is_held(&front.record) {
                break;
            }
            self.evict();
        }
        let record = record.take().expect("offered until it is taken");
        assert_eq!(record.previous(), self.end(), "each record names its predecessor");
        self.stretch(bytes, bounds.block_bytes);
        self.bytes += bytes;
        self.records.push_back(Kept { record: Arc::new(record), bytes, at: now });
        self.gauges.bytes.set(precise(self.bytes));
        self.gauges.records.set(precise(self.records.len()));
        true
    }

    /// Begins another stretch before a record of so many bytes, if the last one is full and ends with a transaction.
    fn stretch(&mut self, bytes: usize, block_bytes: usize) {
        let ended =
            self.records.back().map_or(self.start_ends_transaction, |kept| kept.record.ends_transaction());
        if self.stretches.is_empty() || self.stretch_bytes >= block_bytes && ended {
            self.stretches.push_back(Begun { number: next_number(), from: self.end() });
            self.stretch_bytes = 0;
        }
        self.stretch_bytes += bytes;
    }

    /// Where the stretch lies that follows `position`, the end of a record, up to `until`, the end of a transaction.
    pub(super) fn stretch_behind(
        &self,
        incarnation: Incarnation,
        position: Position,
        until: Position,
    ) -> Option<Bounded> {
        self.index_behind(incarnation, position)?;
        let index = self.stretches.partition_point(|begun| begun.from <= position).checked_sub(1)?;
        let Begun { number, from } = self.stretches[index];
        let end = self.stretches.get(index + 1).map_or(until, |next| next.from.min(until));
        // Where its head is gone, it begins with what is left, which may be the rest of a transaction.
        let whole = from >= self.start || self.start_ends_transaction;
        Some(Bounded { number, from: from.max(self.start), end, whole })
    }

    /// Whether somebody will read the record.
    fn is_held(&self, record: &Record) -> bool {
        let end = record.end();
        self.holds.values().any(|place| *place < end)
    }

    fn evict(&mut self) {
        if let Some(evicted) = self.records.pop_front() {
            self.bytes -= evicted.bytes;
            self.followed -= 1;
            self.start = evicted.record.end();
            self.start_ends_transaction = evicted.record.ends_transaction();
            while self.stretches.get(1).is_some_and(|next| next.from <= self.start) {
                self.stretches.pop_front();
            }
        }
    }

    pub(super) fn read(&self, from: impl FnOnce(&Self) -> Option<usize>, limit: usize) -> Read {
        let records =
            |index| self.records.iter().skip(index).take(limit).map(|kept| kept.record.clone()).collect();
        from(self).map_or(Read::Gap, |index| Read::Records(records(index)))
    }

    /// The index of the first record after `position`, the end of a transaction.
    pub(super) fn index_after(&self, incarnation: Incarnation, position: Position) -> Option<usize> {
        let index = self.index_behind(incarnation, position)?;
        let ends = index
            .checked_sub(1)
            .map_or(self.start_ends_transaction, |before| self.records[before].record.ends_transaction());
        ends.then_some(index)
    }

    /// The index of the first record after `position`, the end of a record.
    pub(super) fn index_behind(&self, incarnation: Incarnation, position: Position) -> Option<usize> {
        if incarnation != self.incarnation {
            return None;
        }
        if position == self.start {
            return Some(0);
        }
        self.records.binary_search_by_key(&position, |kept| kept.record.end()).ok().map(|index| index + 1)
    }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats; sizes stay far below 2^52")]
fn precise(size: usize) -> f64 {
    size as f64
}
