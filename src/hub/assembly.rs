use std::sync::Arc;

use crate::event::{Change, Chunk, Record};

/// The parts of the transaction that is coming in, kept until its last one, up to a limit in bytes.
#[derive(Debug)]
pub(super) struct Assembly {
    limit_bytes: usize,
    parts: Vec<Arc<Record>>,
    bytes: usize,
    large: bool,
}

/// What a part made of its transaction.
#[derive(Debug)]
pub(super) enum Assembled {
    /// More is to come.
    Partly,
    /// All of it is here.
    Whole(Vec<Arc<Record>>),
    /// It has grown over the limit: here is what had been kept; further parts follow one by one.
    Large {
        /// What came since the last call that gave any.
        parts: Vec<Arc<Record>>,
        /// Whether this ends it.
        last: bool,
    },
}

impl Assembly {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, parts: Vec::new(), bytes: 0, large: false }
    }

    /// Whether parts of a transaction over the limit are coming in.
    pub(super) fn is_large(&self) -> bool {
        self.large
    }

    /// Whether no transaction is coming in.
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty() && !self.large
    }

    /// Forgets what it holds.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.limit_bytes);
    }

    /// Takes the next part. After the last one it is empty again.
    pub(super) fn push(&mut self, record: &Arc<Record>) -> Assembled {
        self.bytes += record.size_bytes();
        self.large |= self.bytes > self.limit_bytes;
        self.parts.push(record.clone());
        let last = record.ends_transaction();
        if !self.large && !last {
            return Assembled::Partly;
        }
        let (parts, large) = (std::mem::take(&mut self.parts), self.large);
        if last {
            self.clear();
        }
        match (large, last) {
            (false, _) => Assembled::Whole(parts),
            (true, last) => Assembled::Large { parts, last },
        }
    }
}

/// The chunk in a record that is known to be one.
pub(super) fn chunk(record: &Record) -> Option<&Chunk> {
    match record {
        Record::Chunk(chunk) => Some(chunk),
        Record::Mark(_) => None,
    }
}

/// All changes of the parts of one transaction, each with its index in it.
pub(super) fn changes(parts: &[Arc<Record>]) -> impl Iterator<Item = (u32, &Change)> {
    parts
        .iter()
        .filter_map(|part| chunk(part))
        .flat_map(|chunk| (chunk.first_index..).zip(chunk.changes.iter()))
}
