use std::sync::Arc;

use bytes::{Buf, Bytes, TryGetError};
use hashbrown::HashMap;

use super::super::{
    Change, ChannelEvent, Chunk, EventForm, Image, Lsn, Mark, Operation, Position, Record, Relation,
    RelationColumn, ReplicaIdentity, Row, RowChange, Timestamp, Xid,
};
use super::{CHUNK, InvalidRecord, MARK, VERSION, tag};

/// How many changes, columns or relations memory is taken for before any of them has been read.
const CREDIT: usize = 1024;

pub(super) fn read(bytes: Bytes, relations: &mut Relations) -> Result<Record, InvalidRecord> {
    let mut reader = Reader { bytes, dictionary: Vec::new(), relations };
    match reader.u8()? {
        VERSION => {}
        other => return Err(InvalidRecord::Version(other)),
    }
    let record = match reader.u8()? {
        MARK => Record::Mark(reader.mark()?),
        CHUNK => Record::Chunk(reader.chunk()?),
        _ => return Err(InvalidRecord::Broken("kind")),
    };
    match reader.bytes.len() {
        0 => Ok(record),
        left => Err(InvalidRecord::Trailing(left)),
    }
}

struct Reader<'a> {
    bytes: Bytes,
    dictionary: Vec<Arc<Relation>>,
    relations: &'a mut Relations,
}

/// Descriptions that were read before, so that records share them.
#[derive(Debug, Default)]
pub struct Relations(HashMap<Bytes, Arc<Relation>>);

/// More tables than most databases have; a program that reads of more reads them again.
const MOST_RELATIONS: usize = 1_024;

impl Relations {
    /// What `description` says, as it was read the first time.
    fn of(&mut self, description: Bytes) -> Result<Arc<Relation>, InvalidRecord> {
        if let Some(known) = self.0.get(&description) {
            return Ok(Arc::clone(known));
        }
        // It is kept for long: of the record's memory it keeps nothing.
        let key = Bytes::copy_from_slice(&description);
        let mut reader =
            Reader { bytes: description, dictionary: Vec::new(), relations: &mut Self::default() };
        let relation = Arc::new(reader.description()?);
        if !reader.bytes.is_empty() {
            return Err(InvalidRecord::Trailing(reader.bytes.len()));
        }
        if self.0.len() >= MOST_RELATIONS {
            self.0.clear();
        }
        self.0.insert(key, Arc::clone(&relation));
        Ok(relation)
    }
}

impl From<TryGetError> for InvalidRecord {
    fn from(_: TryGetError) -> Self {
        Self::Truncated
    }
}

impl Reader<'_> {
    fn mark(&mut self) -> Result<Mark, InvalidRecord> {
        let previous = self.position()?;
        let commit_lsn = self.lsn()?;
        let index = self.bytes.try_get_u32()?;
        let token = if self.flag("token")? { Some(self.bytes.try_get_u64()?) } else { None };
        Ok(Mark { previous, commit_lsn, index, token })
    }

    fn chunk(&mut self) -> Result<Chunk, InvalidRecord> {
        let previous = self.position()?;
        let commit_lsn = self.lsn()?;
        let xid = Xid::new(self.bytes.try_get_u64()?);
        let committed_at = Timestamp::new(self.bytes.try_get_i64()?);
        let first_index = self.bytes.try_get_u32()?;
        let last = self.flag("end of a transaction")?;
        let count = self.count()?;
        let mut changes = Vec::with_capacity(count.min(CREDIT));
        for _ in 0..count {
            changes.push(self.change()?);
        }
        Ok(Chunk { previous, commit_lsn, xid, committed_at, first_index, changes: changes.into(), last })
    }

    fn change(&mut self) -> Result<Change, InvalidRecord> {
        match self.u8()? {
            tag @ ..tag::TRUNCATE => self.row_change(tag).map(Change::Row),
            tag::TRUNCATE => self.relation().map(Change::Truncate),
            tag @ (tag::EVENT | tag::CLOUD_EVENT) => {
                let channel = self.text("channel")?;
                let length = self.count()?;
                let data = self.bytes.split_to(length);
                std::str::from_utf8(&data).map_err(|_| InvalidRecord::Broken("event"))?;
                let form = if tag == tag::EVENT { EventForm::Data } else { EventForm::CloudEvent };
                Ok(Change::Event(ChannelEvent { channel, data, form }))
            }
            tag::SCHEMA => Ok(Change::Schema),
            _ => Err(InvalidRecord::Broken("change")),
        }
    }

    fn row_change(&mut self, tag: u8) -> Result<RowChange, InvalidRecord> {
        let relation = self.relation()?;
        let columns = relation.columns.len();
        let old = match tag & !(tag::NEW | tag::UPDATE) {
            0 => None,
            tag::OLD_KEY => Some(Image::Key(self.row(columns)?)),
            tag::OLD_FULL => Some(Image::Full(self.row(columns)?)),
            _ => return Err(InvalidRecord::Broken("change")),
        };
        let new = if tag & tag::NEW == 0 { None } else { Some(self.row(columns)?) };
        let operation = match (old, new, tag & tag::UPDATE != 0) {
            (None, Some(new), false) => Operation::Insert { new },
            (old, Some(new), true) => Operation::Update { old, new },
            (Some(old), None, false) => Operation::Delete { old },
            _ => return Err(InvalidRecord::Broken("change")),
        };
        Ok(RowChange { relation, operation })
    }

    fn row(&mut self, columns: usize) -> Result<Row, InvalidRecord> {
        Row::split_off(&mut self.bytes, columns).map_err(|_| InvalidRecord::Broken("row"))
    }

    fn relation(&mut self) -> Result<Arc<Relation>, InvalidRecord> {
        let place = usize::try_from(self.number()?).map_err(|_| InvalidRecord::Broken("relation"))?;
        if let Some(known) = self.dictionary.get(place) {
            return Ok(Arc::clone(known));
        }
        if place != self.dictionary.len() {
            return Err(InvalidRecord::Broken("relation"));
        }
        let length = self.count()?;
        let description = self.bytes.split_to(length);
        let relation = self.relations.of(description)?;
        self.dictionary.push(Arc::clone(&relation));
        Ok(relation)
    }

    fn description(&mut self) -> Result<Relation, InvalidRecord> {
        let oid = self.bytes.try_get_u32()?;
        let schema = self.text("schema")?;
        let name = self.text("name of a table")?;
        let identity = ReplicaIdentity::from_catalog(self.u8()?);
        let identity = identity.ok_or(InvalidRecord::Broken("replica identity"))?;
        let count = self.count()?;
        let mut columns = Vec::with_capacity(count.min(CREDIT));
        for _ in 0..count {
            columns.push(RelationColumn {
                name: self.text("name of a column")?,
                key: self.flag("column")?,
                type_oid: self.bytes.try_get_u32()?,
                type_modifier: self.bytes.try_get_i32()?,
            });
        }
        Ok(Relation { oid, schema, name, identity, columns })
    }

    fn position(&mut self) -> Result<Position, InvalidRecord> {
        Ok(Position { commit_lsn: self.lsn()?, index: self.bytes.try_get_u32()? })
    }

    fn lsn(&mut self) -> Result<Lsn, InvalidRecord> {
        Ok(Lsn::new(self.bytes.try_get_u64()?))
    }

    fn text(&mut self, what: &'static str) -> Result<Arc<str>, InvalidRecord> {
        let length = self.count()?;
        let bytes = self.bytes.split_to(length);
        std::str::from_utf8(&bytes).map(Arc::from).map_err(|_| InvalidRecord::Broken(what))
    }

    /// Takes how many things follow, each of at least one byte.
    fn count(&mut self) -> Result<usize, InvalidRecord> {
        let count = usize::try_from(self.number()?).map_err(|_| InvalidRecord::Truncated)?;
        if count <= self.bytes.len() { Ok(count) } else { Err(InvalidRecord::Truncated) }
    }

    /// Unsigned LEB128, in its shortest form only.
    fn number(&mut self) -> Result<u64, InvalidRecord> {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.u8()?;
            let digit = u64::from(byte & 0x7F);
            if shift == 63 && digit > 1 || shift > 0 && byte == 0 {
                return Err(InvalidRecord::Broken("number"));
            }
            number |= digit << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(InvalidRecord::Broken("number"))
    }

    fn flag(&mut self, what: &'static str) -> Result<bool, InvalidRecord> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(InvalidRecord::Broken(what)),
        }
    }

    fn u8(&mut self) -> Result<u8, InvalidRecord> {
        Ok(self.bytes.try_get_u8()?)
    }
}
