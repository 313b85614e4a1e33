//! The journal in stretches, for those who catch up: what one finds in a stretch holds for all who read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::window::{Read, Window};
use crate::event::{Incarnation, Position, Record};

/// How much is in one stretch, in bytes, about: whoever catches up wakes once for each, and looks up once what is in
/// it. Larger ones would leave a reading of the stream with too few to hold at once.
pub const BLOCK_BYTES: usize = 1 << 20;

/// A part of the journal whose beginning is the same for all who read it, wherever in it they stand. It has a number of
/// its own in this process. The newest stretch of the window still grows: then a later one of the same number ends
/// further on.
#[derive(Clone, Debug)]
pub struct Stretch {
    number: u64,
    from: Position,
    end: Position,
    whole: bool,
    records: Records,
}

#[derive(Clone, Debug)]
enum Records {
    /// As long as it has them.
    Window(Window, Incarnation),
    Block(Arc<Block>),
}

/// Where a stretch of a window lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounded {
    pub(super) number: u64,
    pub(super) from: Position,
    pub(super) end: Position,
    pub(super) whole: bool,
}

/// Records in a row that were read together.
#[derive(Debug)]
pub(super) struct Block {
    number: u64,
    from: Position,
    whole: bool,
    /// At least one.
    records: Vec<Arc<Record>>,
    bytes: usize,
}

/// Cuts records into blocks of whole transactions; a transaction over the limit into pieces of its own.
#[derive(Debug)]
pub(super) struct Cutter {
    block_bytes: usize,
    whole_bytes: usize,
    records: Vec<Arc<Record>>,
    bytes: usize,
    /// Where in `records` the transaction begins that is coming in.
    transaction: usize,
    transaction_bytes: usize,
    /// The head of that transaction was cut off.
    beheaded: bool,
}

/// The number of the next stretch in this process.
pub(super) fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Stretch {
    pub(super) fn of_window(window: Window, incarnation: Incarnation, bounded: Bounded) -> Self {
        let Bounded { number, from, end, whole } = bounded;
        Self { number, from, end, whole, records: Records::Window(window, incarnation) }
    }

    /// A block, up to `until` at most.
    pub(super) fn of_block(block: Arc<Block>, until: Position) -> Self {
        let Block { number, from, whole, .. } = *block;
        Self { number, from, end: block.end().min(until), whole, records: Records::Block(block) }
    }

    /// Which it is, in this process.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Where the record before its first one ends.
    pub const fn from(&self) -> Position {
        self.from
    }

    /// Where its last record ends.
    pub const fn end(&self) -> Position {
        self.end
    }

    /// Whether it begins and ends with the end of a transaction.
    pub const fn is_whole(&self) -> bool {
        self.whole
    }

    /// At most `limit` of its records, those after `position`, which is where it begins or where one of them ends;
    /// `None` if they are gone.
    pub fn after(&self, position: Position, limit: usize) -> Option<Vec<Arc<Record>>> {
        let mut records = match &self.records {
            Records::Window(window, incarnation) => match window.read_on(*incarnation, position, limit) {
                Read::Records(records) => records,
                Read::Gap => return None,
            },
            Records::Block(block) => {
                let index = block.index_after(position)?;
                block.records[index..].iter().take(limit).cloned().collect()
            }
        };
        let inside = records.partition_point(|record| record.end() <= self.end);
        records.truncate(inside);
        Some(records)
    }
}

impl Block {
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn end(&self) -> Position {
        self.records.last().map_or(self.from, |record| record.end())
    }

    /// The index of the first record after `position`, where the block begins or one of its records ends.
    pub(super) fn index_after(&self, position: Position) -> Option<usize> {
        if position == self.from {
            return Some(0);
        }
        self.records.binary_search_by_key(&position, |record| record.end()).ok().map(|index| index + 1)
    }
}

impl Cutter {
    /// Blocks of `block_bytes`, and whatever their last transaction takes, up to `whole_bytes`.
    pub(super) const fn new(block_bytes: usize, whole_bytes: usize) -> Self {
        Self {
            block_bytes,
            whole_bytes,
            records: Vec::new(),
            bytes: 0,
            transaction: 0,
            transaction_bytes: 0,
            beheaded: false,
        }
    }

    /// Where what it holds ends, if it holds anything.
    pub(super) fn end(&self) -> Option<Position> {
        self.records.last().map(|record| record.end())
    }

    /// Takes the next record, and gives the blocks that are complete.
    pub(super) fn push(&mut self, record: Record) -> Vec<Block> {
        let bytes = record.size_bytes();
        let ends = record.ends_transaction();
        self.records.push(Arc::new(record));
        self.bytes += bytes;
        self.transaction_bytes += bytes;
        let mut blocks = Vec::new();
        if !self.beheaded && self.transaction_bytes > self.whole_bytes && !ends {
            blocks.extend(self.cut_before_transaction());
            self.beheaded = true;
        }
        if ends {
            let complete = self.beheaded || self.bytes >= self.block_bytes;
            blocks.extend(complete.then(|| self.cut(!self.beheaded)).flatten());
            self.beheaded = false;
            self.transaction = self.records.len();
            self.transaction_bytes = 0;
        } else if self.beheaded && self.bytes >= self.block_bytes {
            blocks.extend(self.cut(false));
        }
        blocks
    }

    /// Gives what it still holds: nothing more will come.
    pub(super) fn finish(&mut self) -> Vec<Block> {
        let mut blocks = Vec::new();
        if !self.beheaded {
            blocks.extend(self.cut_before_transaction());
        }
        blocks.extend(self.cut(false));
        blocks
    }

    fn cut_before_transaction(&mut self) -> Option<Block> {
        let transaction = self.records.split_off(self.transaction);
        self.bytes -= self.transaction_bytes;
        let block = self.cut(true);
        (self.records, self.bytes) = (transaction, self.transaction_bytes);
        block
    }

    fn cut(&mut self, whole: bool) -> Option<Block> {
        let (records, bytes) = (std::mem::take(&mut self.records), std::mem::take(&mut self.bytes));
        self.transaction = 0;
        let from = records.first()?.previous();
        Some(Block { number: next_number(), from, whole, records, bytes })
    }
}

/// Records cut into stretches, as a reading of the stream does it.
#[cfg(test)]
pub(crate) fn cut(records: &[Arc<Record>], block_bytes: usize, whole_bytes: usize) -> Vec<Stretch> {
    let mut cutter = Cutter::new(block_bytes, whole_bytes);
    let mut blocks: Vec<_> = records.iter().flat_map(|record| cutter.push(Record::clone(record))).collect();
    blocks.extend(cutter.finish());
    let of_block = |block: Block| {
        let end = block.end();
        Stretch::of_block(Arc::new(block), end)
    };
    blocks.into_iter().map(of_block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Change, Chunk, Lsn, Timestamp, Xid};

    /// Transactions of so many parts each.
    fn records(parts: &[u32]) -> Vec<Arc<Record>> {
        let mut previous = Position::default();
        let mut records = Vec::new();
        for (lsn, parts) in (1..).zip(parts) {
            for part in 0..*parts {
                let record = Record::Chunk(Chunk {
                    previous,
                    commit_lsn: Lsn::new(lsn),
                    xid: Xid::new(lsn),
                    committed_at: Timestamp::default(),
                    first_index: part,
                    changes: vec![Change::Schema].into(),
                    last: part + 1 == *parts,
                });
                previous = record.end();
                records.push(Arc::new(record));
            }
        }
        records
    }

    #[test]
    fn blocks_are_whole_transactions_and_what_is_over_the_limit_comes_in_pieces_of_its_own() {
        let records = records(&[1, 1, 3, 1, 9, 1, 1, 1]);
        let one = records[0].size_bytes();
        let stretches = cut(&records, 2 * one, 4 * one);
        let shown: Vec<_> = stretches
            .iter()
            .map(|stretch| {
                let records = stretch.after(stretch.from(), usize::MAX).expect("it has them");
                assert_eq!(records.first().map(|record| record.previous()), Some(stretch.from()));
                assert_eq!(records.last().map(|record| record.end()), Some(stretch.end()));
                (records.len(), stretch.is_whole())
            })
            .collect();
        let pieces = [(5, false), (2, false), (2, false)];
        assert_eq!(
            shown,
            [&[(2, true), (3, true), (1, true)], &pieces[..], &[(2, true), (1, true)]].concat()
        );
        assert!(stretches.windows(2).all(|pair| pair[0].end() == pair[1].from()), "with nothing in between");
        assert!(stretches[0].after(stretches[1].end(), 1).is_none(), "of another block");
    }

    #[test]
    fn a_transaction_that_is_cut_short_is_a_piece_of_its_own() {
        let mut records = records(&[1, 3]);
        records.pop();
        let shown: Vec<_> = cut(&records, 1 << 20, 1 << 20).iter().map(Stretch::is_whole).collect();
        assert_eq!(shown, [true, false]);
    }
}
