//! Records as bytes, for a journal outside the process.
//!
//! ```text
//!  version  kind  previous  commit_lsn  then
//!  1        mark  lsn index lsn         token
//!  1        chunk lsn index lsn         xid  committed_at  first_index  last  count  change …
//! ```
//!
//! Positions and moments have a fixed width in network order; counts, lengths and other numbers are LEB128. A change is
//! a byte that says what it is, its relation, and its images as the stream carried them. A relation is its place in the
//! chunk's dictionary; a place one beyond the dictionary's end is followed by the length of the description that takes it, and that. So a chunk
//! carries each description once, and can be read on its own.
//!
//! The decoder survives any input: it checks every length against what is left before it takes memory for it.

mod reader;
mod writer;

use bytes::{Bytes, BytesMut};

use super::Record;
pub use reader::Relations;

/// The only version so far. A reader refuses any other.
const VERSION: u8 = 1;

const MARK: u8 = 0;
const CHUNK: u8 = 1;

/// What a change is. A row's images are two digits: the old one (none, key, full), then whether there is a new one.
mod tag {
    pub(super) const OLD_KEY: u8 = 2;
    pub(super) const OLD_FULL: u8 = 4;
    pub(super) const NEW: u8 = 1;
    pub(super) const UPDATE: u8 = 8;
    pub(super) const TRUNCATE: u8 = 16;
    pub(super) const EVENT: u8 = 17;
    pub(super) const SCHEMA: u8 = 18;
    pub(super) const CLOUD_EVENT: u8 = 19;
}

/// Bytes that are no record of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRecord {
    /// A record of another version: it takes a newer program to read it.
    #[error("a record of version {0}, where this program reads version {VERSION}")]
    Version(u8),
    /// It ends before its own lengths say.
    #[error("a record is cut short")]
    Truncated,
    /// It goes on behind its end.
    #[error("a record has {0} bytes too many")]
    Trailing(usize),
    /// A part of it is not what it can be.
    #[error("a record has a broken {0}")]
    Broken(&'static str),
}

impl Record {
    /// Appends the record to `out`.
    pub fn encode(&self, out: &mut BytesMut) {
        writer::write(self, out);
    }

    /// Reads one record, which shares the memory of `bytes`.
    ///
    /// # Errors
    /// [`InvalidRecord`] for anything that [`Record::encode`] did not write.
    pub fn decode(bytes: Bytes) -> Result<Self, InvalidRecord> {
        Self::decode_sharing(bytes, &mut Relations::default())
    }

    /// As [`Record::decode`], for one who reads many: equal descriptions of tables are shared.
    ///
    /// # Errors
    /// As there.
    pub fn decode_sharing(bytes: Bytes, relations: &mut Relations) -> Result<Self, InvalidRecord> {
        reader::read(bytes, relations)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fastrand::Rng;

    use super::*;
    use crate::event::{
        Change, ChannelEvent, Chunk, Datum, EventForm, Image, Lsn, Mark, Operation, Position, Relation,
        RelationColumn, ReplicaIdentity, Row, RowChange, Timestamp, Xid,
    };

    fn encoded(record: &Record) -> Bytes {
        let mut out = BytesMut::new();
        record.encode(&mut out);
        out.freeze()
    }

    fn relation(oid: u32, columns: usize) -> Arc<Relation> {
        let column = |index: usize| RelationColumn {
            name: format!("column {index} é").into(),
            key: index == 0,
            type_oid: 23 + u32::try_from(index).expect("few"),
            type_modifier: if index == 1 { 14 } else { -1 },
        };
        Arc::new(Relation {
            oid,
            schema: "public".into(),
            name: format!("table {oid}").into(),
            identity: ReplicaIdentity::Full,
            columns: (0..columns).map(column).collect(),
        })
    }

    fn any_position(random: &mut Rng) -> Position {
        Position { commit_lsn: Lsn::new(random.u64(..)), index: random.u32(..) }
    }

    fn any_row(random: &mut Rng, columns: usize) -> Row {
        let texts: Vec<Vec<u8>> =
            (0..columns).map(|_| (0..random.u8(..40)).map(|_| random.u8(..)).collect()).collect();
        let datum = |text| match random.u8(..4) {
            0 => Datum::Null,
            1 => Datum::Unchanged,
            _ => Datum::Text(text),
        };
        texts.iter().map(Vec::as_slice).map(datum).collect()
    }

    fn any_change(random: &mut Rng, relations: &[Arc<Relation>]) -> Change {
        let relation = Arc::clone(&relations[random.usize(..relations.len())]);
        let columns = relation.columns.len();
        match random.u8(..8) {
            0 => Change::Truncate(relation),
            1 => Change::Schema,
            2 => Change::Event(ChannelEvent {
                channel: "deploys.ü".into(),
                data: Bytes::from_static("{\"ok\": \"é\"}".as_bytes()),
                form: if random.bool() { EventForm::Data } else { EventForm::CloudEvent },
            }),
            _ => {
                let old = match random.u8(..3) {
                    0 => None,
                    1 => Some(Image::Key(any_row(random, columns))),
                    _ => Some(Image::Full(any_row(random, columns))),
                };
                let operation = match (old, random.bool()) {
                    (Some(old), false) => Operation::Delete { old },
                    (None, true) => Operation::Insert { new: any_row(random, columns) },
                    (old, _) => Operation::Update { old, new: any_row(random, columns) },
                };
                Change::Row(RowChange { relation, operation })
            }
        }
    }

    fn any_record(random: &mut Rng) -> Record {
        let (previous, commit_lsn) = (any_position(random), Lsn::new(random.u64(..)));
        if random.u8(..8) == 0 {
            let token = random.bool().then(|| random.u64(..));
            return Record::Mark(Mark { previous, commit_lsn, index: random.u32(..), token });
        }
        let relations = [relation(1, 0), relation(2, 1), relation(300, 7), relation(u32::MAX, 2)];
        Record::Chunk(Chunk {
            previous,
            commit_lsn,
            xid: Xid::new(random.u64(..)),
            committed_at: Timestamp::new(random.i64(..)),
            first_index: random.u32(..),
            changes: (0..random.u8(..30)).map(|_| any_change(random, &relations)).collect(),
            last: random.bool(),
        })
    }

    #[test]
    fn generated_records_round_trip() {
        let mut random = Rng::with_seed(3);
        for _ in 0..5_000 {
            let record = any_record(&mut random);
            assert_eq!(Record::decode(encoded(&record)).as_ref(), Ok(&record));
        }
    }

    #[test]
    fn every_prefix_of_a_record_is_refused_and_so_is_a_byte_behind_it() {
        let mut random = Rng::with_seed(5);
        for _ in 0..50 {
            let whole = encoded(&any_record(&mut random));
            for length in 0..whole.len() {
                assert!(Record::decode(whole.slice(..length)).is_err());
            }
            let mut longer = BytesMut::from(&whole[..]);
            longer.extend_from_slice(b"\0");
            assert_eq!(Record::decode(longer.freeze()), Err(InvalidRecord::Trailing(1)));
        }
    }

    #[test]
    fn mutated_records_never_panic_and_what_is_read_can_be_written() {
        let mut random = Rng::with_seed(9);
        for _ in 0..30_000 {
            let mut bytes = encoded(&any_record(&mut random)).to_vec();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len());
                match random.u8(..4) {
                    0 => bytes[at] = random.u8(..),
                    1 => bytes[at] ^= 1 << random.u8(..8),
                    2 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, random.u8(..)),
                }
            }
            if let Ok(record) = Record::decode(bytes.into()) {
                assert_eq!(Record::decode(encoded(&record)).as_ref(), Ok(&record));
            }
        }
    }

    #[test]
    fn counts_beyond_the_input_take_no_memory() {
        let mut bytes = encoded(&Record::Chunk(Chunk {
            previous: Position::default(),
            commit_lsn: Lsn::ZERO,
            xid: Xid::new(1),
            committed_at: Timestamp::default(),
            first_index: 0,
            changes: Arc::new([]),
            last: true,
        }))
        .to_vec();
        assert_eq!(bytes.pop(), Some(0), "the count of changes comes last");
        bytes.extend([0xFF, 0xFF, 0xFF, 0xFF, 0x0F]);
        assert_eq!(Record::decode(bytes.into()), Err(InvalidRecord::Truncated));
    }

    #[test]
    fn another_version_is_named() {
        assert_eq!(Record::decode(Bytes::from_static(&[2, 0])), Err(InvalidRecord::Version(2)));
        assert_eq!(Record::decode(Bytes::new()), Err(InvalidRecord::Truncated));
    }

    #[test]
    fn a_row_costs_its_own_bytes_and_two_more_and_a_relation_is_written_once() {
        let mut random = Rng::with_seed(1);
        let relation = relation(7, 5);
        let rows: Vec<Row> = (0..1_000).map(|_| any_row(&mut random, 5)).collect();
        let own: usize = rows.iter().map(Row::len).sum();
        let change = |new| {
            Change::Row(RowChange { relation: Arc::clone(&relation), operation: Operation::Insert { new } })
        };
        let record = Record::Chunk(Chunk {
            previous: Position::default(),
            commit_lsn: Lsn::new(1),
            xid: Xid::new(1),
            committed_at: Timestamp::default(),
            first_index: 0,
            changes: rows.into_iter().map(change).collect(),
            last: true,
        });
        let length = encoded(&record).len();
        assert!(length <= own + 2 * 1_000 + 200, "{length} bytes for rows of {own}");
        let Ok(Record::Chunk(chunk)) = Record::decode(encoded(&record)) else { panic!("a chunk") };
        let shared = chunk.changes.iter().all(|change| match (change, &chunk.changes[0]) {
            (Change::Row(one), Change::Row(first)) => Arc::ptr_eq(&one.relation, &first.relation),
            _ => false,
        });
        assert!(shared, "one description serves all rows");
    }
}
