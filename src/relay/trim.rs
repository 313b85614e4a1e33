use crate::event::{Change, Lsn, Position};

/// Trims what comes again after a reconnection, change by change, by its place in the log.
#[derive(Debug, Default)]
pub(super) struct Trim {
    /// The end of what the stream has delivered since it was opened.
    delivered: Position,
}

impl Trim {
    /// The stream was cut: what follows starts at a transaction's begin.
    pub(super) fn restart(&mut self) {
        self.delivered = Position::default();
    }

    /// What of a chunk lies behind the journal's `tail`, and the index of its first change.
    pub(super) fn chunk(
        &mut self,
        tail: Position,
        commit_lsn: Lsn,
        first_index: u32,
        mut changes: Vec<Change>,
    ) -> Option<(u32, Vec<Change>)> {
        let count =
            u32::try_from(changes.len()).expect("a chunk is bounded in bytes, far below 2^32 changes");
        self.delivered = Position { commit_lsn, index: first_index + count };
        if self.delivered <= tail {
            return None;
        }
        let known = if commit_lsn == tail.commit_lsn { tail.index.saturating_sub(first_index) } else { 0 };
        changes.drain(..known as usize);
        Some((first_index + known, changes))
    }

    /// The index of a mark, if it lies behind the journal's `tail`.
    pub(super) fn mark(&mut self, tail: Position, commit_lsn: Lsn) -> Option<u32> {
        let index = if self.delivered.commit_lsn == commit_lsn { self.delivered.index + 1 } else { 1 };
        self.delivered = Position { commit_lsn, index };
        (self.delivered > tail).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lsn: u64, index: u32) -> Position {
        Position { commit_lsn: Lsn::new(lsn), index }
    }

    fn chunk(trim: &mut Trim, tail: Position, lsn: u64, first: u32, changes: usize) -> Option<(u32, usize)> {
        let kept = trim.chunk(tail, Lsn::new(lsn), first, vec![Change::Schema; changes]);
        kept.map(|(first, changes)| (first, changes.len()))
    }

    #[test]
    fn what_the_journal_has_is_trimmed_change_by_change() {
        let mut trim = Trim::default();
        assert_eq!(chunk(&mut trim, at(0, 0), 10, 0, 3), Some((0, 3)));
        assert_eq!(chunk(&mut trim, at(10, 3), 10, 3, 2), Some((3, 2)));
        trim.restart();
        let tail = at(20, 4);
        assert_eq!(chunk(&mut trim, tail, 10, 0, 5), None);
        assert_eq!(chunk(&mut trim, tail, 20, 0, 3), None);
        assert_eq!(chunk(&mut trim, tail, 20, 3, 3), Some((4, 2)));
        assert_eq!(chunk(&mut trim, at(20, 6), 30, 0, 1), Some((0, 1)));
    }

    #[test]
    fn marks_of_one_place_are_told_apart() {
        let mut trim = Trim::default();
        assert_eq!(chunk(&mut trim, at(0, 0), 10, 0, 2), Some((0, 2)));
        assert_eq!(trim.mark(at(10, 2), Lsn::new(10)), Some(3));
        assert_eq!(trim.mark(at(10, 3), Lsn::new(10)), Some(4));
        assert_eq!(trim.mark(at(10, 4), Lsn::new(20)), Some(1));
        trim.restart();
        let tail = at(10, 3);
        assert_eq!(chunk(&mut trim, tail, 10, 0, 2), None);
        assert_eq!(trim.mark(tail, Lsn::new(10)), None, "the journal has the first");
        assert_eq!(trim.mark(tail, Lsn::new(10)), Some(4), "and not the second");
    }
}
