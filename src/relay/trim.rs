//! Trims what comes again after a reconnection, change by change, by its place in the log.

use std::cmp::Ordering;

use crate::event::{Change, Lsn, Position};

/// What of a chunk lies behind the journal's `tail`, and the index of its first change.
pub(super) fn chunk(
    tail: Position,
    commit_lsn: Lsn,
    first_index: u32,
    mut changes: Vec<Change>,
) -> Option<(u32, Vec<Change>)> {
    let count = u32::try_from(changes.len()).expect("a chunk is bounded in bytes, far below 2^32 changes");
    if (Position { commit_lsn, index: first_index + count }) <= tail {
        return None;
    }
    let known = if commit_lsn == tail.commit_lsn { tail.index.saturating_sub(first_index) } else { 0 };
    changes.drain(..known as usize);
    Some((first_index + known, changes))
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

    fn at(lsn: u64, index: u32) -> Position {
        Position { commit_lsn: Lsn::new(lsn), index }
    }

    #[test]
    fn what_the_journal_has_is_trimmed_change_by_change() {
        let trimmed = |tail, lsn, first, count| {
            let kept = chunk(tail, Lsn::new(lsn), first, vec![Change::Schema; count]);
            kept.map(|(first, changes)| (first, changes.len()))
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
