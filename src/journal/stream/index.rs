use std::collections::VecDeque;

use crate::event::{Incarnation, Position};

/// Where in the stream this process has met which end, coarsely: where to start to read again.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// In the order of the stream.
    entries: VecDeque<Entry>,
    /// Messages from one entry to the next, a power of two.
    stride: u64,
    /// The offset of the last message that was read.
    last: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: u64,
    incarnation: Incarnation,
    end: Position,
}

/// Whoever starts at an entry reads this many messages too many at most, to begin with.
const STRIDE: u64 = 32;
/// When there are so many entries, every other one goes.
const MOST: usize = 32_768;

impl Index {
    /// Before the message at `offset`, records ended at `end`.
    pub(super) fn note(&mut self, offset: u64, incarnation: Incarnation, end: Position) {
        let stride = self.stride.max(STRIDE);
        if self.entries.back().is_some_and(|last| offset < last.offset + stride) {
            return;
        }
        self.entries.push_back(Entry { offset, incarnation, end });
        if self.entries.len() >= MOST {
            let mut keep = false;
            self.entries.retain(|_| {
                keep = !keep;
                keep
            });
            self.stride = stride * 2;
        }
    }

    /// This message was read.
    pub(super) fn reach(&mut self, offset: u64) {
        self.last = offset;
    }

    /// What was known means nothing any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// An offset from which on everything behind `position` is read, as near as is known.
    pub(super) fn before(&self, incarnation: Incarnation, position: Position) -> Option<u64> {
        let behind =
            self.entries.partition_point(|entry| (entry.incarnation, entry.end) <= (incarnation, position));
        let entry = self.entries.get(behind.checked_sub(1)?)?;
        (entry.incarnation == incarnation).then_some(entry.offset)
    }

    /// An offset before which to look for what is older than all that is known.
    pub(super) fn first(&self) -> u64 {
        self.entries.front().map_or(self.last, |entry| entry.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Lsn;

    #[test]
    fn an_index_stays_small_and_always_leads_to_before_the_position() {
        let at = |offset: u64| Position { commit_lsn: Lsn::new(10 * offset), index: 0 };
        let life = Incarnation(3);
        let mut index = Index::default();
        for offset in 1_000..3_000_000 {
            index.note(offset, life, at(offset));
        }
        assert!(index.entries.len() < MOST);
        assert_eq!(index.first(), 1_000);
        for offset in [1_000, 1_001, 50_000, 1_234_567, 2_999_999] {
            let found = index.before(life, at(offset)).expect("known");
            assert!(found <= offset && offset - found < 2_000, "{found} for {offset}");
        }
        assert_eq!(index.before(life, at(999)), None);
        assert_eq!(index.before(Incarnation(4), at(5_000)), None);
    }
}
