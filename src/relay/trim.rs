//! Trims what comes again after a reconnection, change by change, by its place in the log.

use std::cmp::Ordering;

use crate::event::{Chunk, Lsn, Position};

/// What of a chunk lies behind the journal's tail, which it names as its predecessor.
pub(super) fn chunk(chunk: Chunk) -> Option<Chunk> {
    let tail = chunk.previous;
    if chunk.end() <= tail {
        return None;
    }
    let same = chunk.commit_lsn == tail.commit_lsn;
    let known = if same { tail.index.saturating_sub(chunk.first_index) } else { 0 };
    if known == 0 {
        return Some(chunk);
    }
    let changes = chunk.changes[known as usize..].into();
    Some(Chunk { first_index: chunk.first_index + known, changes, ..chunk })
}

/// The index of a mark, if it may lie behind the journal's `tail`.
///
/// At the tail's own place in the log events may have been published after the transaction, so that indexes tell
/// nothing: a mark that comes again there is appended again, which does no harm.
pub(super) fn mark(tail: Position, commit_lsn: Lsn) -> Option<u32> {
    match commit_lsn.cmp(&tail.commit_lsn) {
        Ordering::Less => None,
        Ordering::Equal => Some(tail.index + 1),
        Ordering::Greater => Some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Change, Timestamp, Xid};

    fn at(lsn: u64, index: u32) -> Position {
        Position { commit_lsn: Lsn::new(lsn), index }
    }

    #[test]
    fn what_the_journal_has_is_trimmed_change_by_change() {
        let trimmed = |previous, lsn, first_index, count| {
            let kept = chunk(Chunk {
                previous,
                commit_lsn: Lsn::new(lsn),
                xid: Xid::new(1),
                committed_at: Timestamp::default(),
                first_index,
                changes: vec![Change::Schema; count].into(),
                last: true,
            });
            kept.map(|chunk| (chunk.first_index, chunk.changes.len()))
        };
        assert_eq!(trimmed(at(0, 0), 10, 0, 3), Some((0, 3)));
        assert_eq!(trimmed(at(10, 3), 10, 3, 2), Some((3, 2)));
        let tail = at(20, 4);
        assert_eq!(trimmed(tail, 10, 0, 5), None);
        assert_eq!(trimmed(tail, 20, 0, 3), None);
        assert_eq!(trimmed(tail, 20, 3, 3), Some((4, 2)));
        assert_eq!(trimmed(at(20, 6), 30, 0, 1), Some((0, 1)));
    }

    #[test]
    fn a_mark_is_left_out_only_where_the_journal_is_beyond_it() {
        assert_eq!(mark(at(10, 2), Lsn::new(10)), Some(3), "of the transaction before, or behind events");
        assert_eq!(mark(at(10, 2), Lsn::new(11)), Some(1));
        assert_eq!(mark(at(10, 2), Lsn::new(9)), None);
    }
}
