use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use hashbrown::HashMap;

use super::super::{Change, Chunk, EventForm, Image, Operation, Position, Record, Relation, RowChange};
use super::{CHUNK, MARK, VERSION, tag};

pub(super) fn write(record: &Record, out: &mut BytesMut) {
    out.put_u8(VERSION);
    match record {
        Record::Mark(mark) => {
            out.put_u8(MARK);
            put_position(mark.previous, out);
            out.put_u64(mark.commit_lsn.get());
            out.put_u32(mark.index);
            out.put_u8(u8::from(mark.token.is_some()));
            if let Some(token) = mark.token {
                out.put_u64(token);
            }
        }
        Record::Chunk(chunk) => {
            out.put_u8(CHUNK);
            put_chunk(chunk, out);
        }
    }
}

fn put_chunk(chunk: &Chunk, out: &mut BytesMut) {
    put_position(chunk.previous, out);
    out.put_u64(chunk.commit_lsn.get());
    out.put_u64(chunk.xid.get());
    out.put_i64(chunk.committed_at.get());
    out.put_u32(chunk.first_index);
    out.put_u8(u8::from(chunk.last));
    put_number(chunk.changes.len() as u64, out);
    let mut dictionary = Dictionary::default();
    for change in chunk.changes.iter() {
        match change {
            Change::Row(row) => put_row_change(row, &mut dictionary, out),
            Change::Truncate(relation) => {
                out.put_u8(tag::TRUNCATE);
                dictionary.put(relation, out);
            }
            Change::Event(event) => {
                out.put_u8(match event.form {
                    EventForm::Data => tag::EVENT,
                    EventForm::CloudEvent => tag::CLOUD_EVENT,
                });
                put_bytes(event.channel.as_bytes(), out);
                put_bytes(&event.data, out);
            }
            Change::Schema => out.put_u8(tag::SCHEMA),
        }
    }
}

fn put_row_change(change: &RowChange, dictionary: &mut Dictionary, out: &mut BytesMut) {
    let operation = &change.operation;
    let old = match operation.old() {
        None => 0,
        Some(Image::Key(_)) => tag::OLD_KEY,
        Some(Image::Full(_)) => tag::OLD_FULL,
    };
    out.put_u8(match operation {
        Operation::Insert { .. } => tag::NEW,
        Operation::Update { .. } => tag::NEW | tag::UPDATE | old,
        Operation::Delete { .. } => old,
    });
    dictionary.put(&change.relation, out);
    for row in operation.old().map(Image::row).into_iter().chain(operation.new()) {
        debug_assert_eq!(row.columns().count(), change.relation.columns.len());
        out.put_slice(row.as_bytes());
    }
}

/// Which relations this chunk has described so far, by their place in memory: changes share descriptions.
#[derive(Default)]
struct Dictionary {
    places: HashMap<*const Relation, u64>,
    /// Most rows are of the same table as the row before.
    latest: Option<(*const Relation, u64)>,
}

impl Dictionary {
    fn put(&mut self, relation: &Arc<Relation>, out: &mut BytesMut) {
        let address = Arc::as_ptr(relation);
        if let Some((latest, place)) = self.latest
            && latest == address
        {
            return put_number(place, out);
        }
        let next = self.places.len() as u64;
        let place = *self.places.entry(address).or_insert(next);
        self.latest = Some((address, place));
        put_number(place, out);
        if place == next {
            let mut description = BytesMut::with_capacity(256);
            put_relation(relation, &mut description);
            put_bytes(&description, out);
        }
    }
}

fn put_relation(relation: &Relation, out: &mut BytesMut) {
    out.put_u32(relation.oid);
    put_bytes(relation.schema.as_bytes(), out);
    put_bytes(relation.name.as_bytes(), out);
    out.put_u8(relation.identity.letter());
    put_number(relation.columns.len() as u64, out);
    for column in &relation.columns {
        put_bytes(column.name.as_bytes(), out);
        out.put_u8(u8::from(column.key));
        out.put_u32(column.type_oid);
        out.put_i32(column.type_modifier);
    }
}

fn put_position(position: Position, out: &mut BytesMut) {
    out.put_u64(position.commit_lsn.get());
    out.put_u32(position.index);
}

fn put_bytes(bytes: &[u8], out: &mut BytesMut) {
    put_number(bytes.len() as u64, out);
    out.put_slice(bytes);
}

/// Unsigned LEB128.
#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
fn put_number(mut number: u64, out: &mut BytesMut) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}
