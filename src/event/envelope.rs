//! A change as messages for services, in the envelope that Debezium's PostgreSQL connector writes.
//!
//! ```text
//!  Chunk, place ─▶ Encoder ─▶ Plan of the table ─▶ RowMessage: routing key, properties, headers, body
//!                   Types, keys (catalog) ─▶ Form of each column
//! ```
//!
//! What the messages say, and where they differ from Debezium's, is in `docs/services.md`; the form of every value was
//! read off version 3.6.3 of the engine, with its defaults and JSON without schemas, and `tests/envelope.rs` holds what
//! it printed.
//!
//! Cost model: a row costs an allocation for its body and one for its id, and the texts of its values are copied once.
//! What all rows of a table have in common is written once.

mod decimal;
mod form;
mod message;
mod moment;
mod plan;
mod routing;
mod text;
mod value;

use std::collections::HashMap;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::value::write_json_string;
use super::{Change, Chunk, Image, Operation, Relation, Row, Timestamp};

pub use form::{TypeRow, Types};
pub use message::{OtherKey, RowMessage, What};
pub use routing::routing_word;

use plan::Plan;

/// Who speaks, in every envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What Debezium calls the logical server's name, and `topic.prefix`.
    pub name: String,
    /// The database.
    pub database: String,
}

/// What a segment of a URI cannot hold as it is: all but RFC 3986's «unreserved».
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Room for all of a body but the row's own columns, in bytes.
const ENVELOPE_BYTES: usize = 480;

/// Turns changes into messages.
pub struct Encoder {
    /// `"source":{"version":…,"name":"…","ts_ms":`
    head: Vec<u8>,
    /// `,"snapshot":"false","db":"…","sequence":"[\"`
    database: Vec<u8>,
    /// `/tidegate/<name>`
    uri: Arc<str>,
    types: Types,
    keys: HashMap<u32, Vec<Arc<str>>>,
    /// By `pg_class.oid`: a table that is described again takes its own place.
    plans: HashMap<u32, Plan>,
}

/// Where a change lies: what the envelope says of it beside its rows.
#[derive(Clone, Copy)]
struct At<'a> {
    chunk: &'a Chunk,
    index: u32,
    now: Timestamp,
}

/// What one message says.
struct Said<'a> {
    what: What,
    before: Option<&'a Row>,
    after: Option<&'a Row>,
    other_key: Option<OtherKey>,
}

impl Encoder {
    /// Without a word from the catalog yet.
    pub fn new(source: &Source) -> Self {
        let mut head = b"\"source\":{\"version\":".to_vec();
        write_json_string(env!("CARGO_PKG_VERSION").as_bytes(), &mut head);
        head.extend_from_slice(b",\"connector\":\"postgresql\",\"name\":");
        write_json_string(source.name.as_bytes(), &mut head);
        head.extend_from_slice(b",\"ts_ms\":");
        let mut database = b",\"snapshot\":\"false\",\"db\":".to_vec();
        write_json_string(source.database.as_bytes(), &mut database);
        database.extend_from_slice(b",\"sequence\":\"[\\\"");
        let name = utf8_percent_encode(&source.name, RESERVED);
        Self {
            head,
            database,
            uri: format!("/tidegate/{name}").into(),
            types: Types::default(),
            keys: HashMap::new(),
            plans: HashMap::new(),
        }
    }

    /// Takes what the catalog says now, in place of what it said before.
    ///
    /// `keys` are the names of the primary keys' columns, by `pg_class.oid`: what the stream does not tell of tables
    /// whose replica identity is the whole row. Without it, a changed key of theirs is an update. A type that has no
    /// fixed oid and is not described is written as PostgreSQL's text.
    pub fn describe(&mut self, types: Types, keys: HashMap<u32, Vec<Arc<str>>>) {
        self.types = types;
        self.keys = keys;
        self.plans.clear();
    }

    /// Appends the messages of the change at `place` in `chunk`: two if it gives a row another key, none if it concerns
    /// no table. `now` is the present.
    pub fn encode(&mut self, chunk: &Chunk, place: usize, now: Timestamp, out: &mut Vec<RowMessage>) {
        let Some(change) = chunk.changes.get(place) else { return };
        let relation = match change {
            Change::Row(change) => &change.relation,
            Change::Truncate(relation) => relation,
            Change::Event(_) | Change::Schema => return,
        };
        self.plan(relation);
        let plan = &self.plans[&relation.oid];
        let index = chunk.first_index.saturating_add(u32::try_from(place).unwrap_or(u32::MAX));
        let at = At { chunk, index, now };
        let said = |what, before, after| Said { what, before, after, other_key: None };
        let operation = match change {
            Change::Row(change) => &change.operation,
            _ => return out.push(self.message(plan, at, said(What::Truncate, None, None))),
        };
        let message = match operation {
            Operation::Insert { new } => said(What::Insert, None, Some(new)),
            Operation::Delete { old } => said(What::Delete, Some(old.row()), None),
            Operation::Update { old, new } => match old {
                Some(old) if plan.is_another(old.row(), new) => {
                    let mut gone = said(What::Delete, Some(old.row()), None);
                    gone.other_key = Some(OtherKey::New(plan.key_of(new)));
                    out.push(self.message(plan, at, gone));
                    let mut come = said(What::Insert, None, Some(new));
                    come.other_key = Some(OtherKey::Old(plan.key_of(old.row())));
                    come
                }
                // Of a large key it is told what it was though it did not change.
                old => said(What::Update, old.as_ref().map(Image::row), Some(new)),
            },
        };
        out.push(self.message(plan, at, message));
    }

    /// Sees to it that there is a plan for this description of the table.
    fn plan(&mut self, relation: &Arc<Relation>) {
        match self.plans.get_mut(&relation.oid) {
            Some(plan) if Arc::ptr_eq(&plan.relation, relation) => {}
            // Each chunk that comes from outside the process describes its tables again.
            Some(plan) if plan.relation == *relation => plan.relation = Arc::clone(relation),
            _ => {
                let plan = Plan::new(relation, &self.types, &self.keys);
                self.plans.insert(relation.oid, plan);
            }
        }
    }

    fn message(&self, plan: &Plan, at: At<'_>, said: Said<'_>) -> RowMessage {
        let mut id = Vec::with_capacity(40);
        at.chunk.commit_lsn.write(&mut id);
        id.push(b'/');
        id.extend_from_slice(itoa::Buffer::new().format(at.index).as_bytes());
        if said.other_key.is_some() {
            id.push(b'/');
            id.extend_from_slice(said.what.word().as_bytes());
        }
        RowMessage {
            routing_key: plan.routing_key(said.what),
            message_id: String::from_utf8(id).expect("ASCII"),
            what: said.what,
            committed_at: at.chunk.committed_at,
            source: Arc::clone(&self.uri),
            subject: Arc::clone(&plan.subject),
            body: self.body(plan, at, &said),
            other_key: said.other_key,
        }
    }

    fn body(&self, plan: &Plan, at: At<'_>, said: &Said<'_>) -> Vec<u8> {
        let images = [(&b"{\"before\":"[..], said.before), (b",\"after\":", said.after)];
        let columns: usize = images.iter().filter_map(|(_, row)| *row).map(|row| row.len() * 2).sum();
        let mut out = Vec::with_capacity(ENVELOPE_BYTES + columns);
        for (name, row) in images {
            out.extend_from_slice(name);
            match row {
                Some(row) => plan.write_row(row, &mut out),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.push(b',');
        self.write_source(plan, at, &mut out);
        out.extend_from_slice(b",\"transaction\":null,\"op\":\"");
        out.extend_from_slice(said.what.letter().as_bytes());
        let now = at.now.unix_micros();
        out.extend_from_slice(b"\",\"ts_ms\":");
        value::write_number(now.div_euclid(1_000), &mut out);
        write_finer(now, &mut out);
        out.push(b'}');
        out
    }

    fn write_source(&self, plan: &Plan, at: At<'_>, out: &mut Vec<u8>) {
        let mut number = itoa::Buffer::new();
        let committed = at.chunk.committed_at.unix_micros();
        out.extend_from_slice(&self.head);
        value::write_number(committed.div_euclid(1_000), out);
        out.extend_from_slice(&self.database);
        let lsn = number.format(at.chunk.commit_lsn.get()).as_bytes();
        out.extend_from_slice(lsn);
        out.extend_from_slice(b"\\\",\\\"");
        out.extend_from_slice(itoa::Buffer::new().format(at.index).as_bytes());
        out.extend_from_slice(b"\\\"]\"");
        write_finer(committed, out);
        out.push(b',');
        out.extend_from_slice(&plan.names);
        out.extend_from_slice(b"\"txId\":");
        value::write_number(i64::from(at.chunk.xid.low()), out);
        out.extend_from_slice(b",\"lsn\":");
        out.extend_from_slice(lsn);
        out.extend_from_slice(b",\"xmin\":null,\"origin\":null,\"origin_lsn\":null}");
    }
}

/// The same moment in microseconds and in nanoseconds.
fn write_finer(micros: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"ts_us\":");
    value::write_number(micros, out);
    out.extend_from_slice(b",\"ts_ns\":");
    value::write_number(micros.saturating_mul(1_000), out);
}
