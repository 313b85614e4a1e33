use bytes::{BufMut, BytesMut};

use super::{LogicalMessage, Message, OldTuple, Tuple};
use crate::event::Relation;

/// Writes one message as the server would.
///
/// What [`decode`](super::decode()) gives is written so that it reads the same again.
///
/// # Panics
/// If the message holds what none can: a content over 4 GiB, or more than 65,535 columns.
pub fn encode(message: &Message, out: &mut BytesMut) {
    match message {
        Message::Begin(begin) => {
            out.put_u8(b'B');
            out.put_u64(begin.commit_lsn.get());
            out.put_i64(begin.committed_at.get());
            out.put_u32(begin.xid);
        }
        Message::Commit(commit) => {
            out.put_slice(b"C\0");
            out.put_u64(commit.commit_lsn.get());
            out.put_u64(commit.end_lsn.get());
            out.put_i64(commit.committed_at.get());
        }
        Message::Origin { commit_lsn, name } => {
            out.put_u8(b'O');
            out.put_u64(commit_lsn.get());
            put_name(name, out);
        }
        Message::Relation(relation) => put_relation(relation, out),
        Message::Type { oid, schema, name } => {
            out.put_u8(b'Y');
            out.put_u32(*oid);
            put_schema(schema, out);
            put_name(name, out);
        }
        Message::Insert { relation, new } => {
            out.put_u8(b'I');
            out.put_u32(*relation);
            put_tuple(b'N', new, out);
        }
        Message::Update(update) => {
            out.put_u8(b'U');
            out.put_u32(update.relation);
            if let Some(old) = &update.old {
                put_old_tuple(old, out);
            }
            put_tuple(b'N', &update.new, out);
        }
        Message::Delete { relation, old } => {
            out.put_u8(b'D');
            out.put_u32(*relation);
            put_old_tuple(old, out);
        }
        Message::Truncate { relations, cascade, restart_identity } => {
            out.put_u8(b'T');
            out.put_u32(u32::try_from(relations.len()).expect("a server has fewer tables"));
            out.put_u8(u8::from(*cascade) | u8::from(*restart_identity) << 1);
            for oid in relations {
                out.put_u32(*oid);
            }
        }
        Message::Message(message) => put_logical_message(message, out),
    }
}

fn put_relation(relation: &Relation, out: &mut BytesMut) {
    out.put_u8(b'R');
    out.put_u32(relation.oid);
    put_schema(&relation.schema, out);
    put_name(&relation.name, out);
    out.put_u8(relation.identity.letter());
    out.put_u16(u16::try_from(relation.columns.len()).expect("a table has at most 1,600 columns"));
    for column in &relation.columns {
        out.put_u8(u8::from(column.key));
        put_name(&column.name, out);
        out.put_u32(column.type_oid);
        out.put_i32(column.type_modifier);
    }
}

fn put_logical_message(message: &LogicalMessage, out: &mut BytesMut) {
    out.put_u8(b'M');
    out.put_u8(u8::from(message.transactional));
    out.put_u64(message.lsn.get());
    put_name(&message.prefix, out);
    out.put_u32(u32::try_from(message.content.len()).expect("a message is at most 1 GiB"));
    out.put_slice(&message.content);
}

fn put_old_tuple(old: &OldTuple, out: &mut BytesMut) {
    match old {
        OldTuple::Key(tuple) => put_tuple(b'K', tuple, out),
        OldTuple::Full(tuple) => put_tuple(b'O', tuple, out),
    }
}

fn put_tuple(kind: u8, tuple: &Tuple, out: &mut BytesMut) {
    out.put_u8(kind);
    out.put_u16(tuple.columns);
    out.put_slice(tuple.row.as_bytes());
}

fn put_schema(schema: &str, out: &mut BytesMut) {
    put_name(if schema == "pg_catalog" { "" } else { schema }, out);
}

fn put_name(name: &str, out: &mut BytesMut) {
    out.put_slice(name.as_bytes());
    out.put_u8(0);
}

#[cfg(test)]
pub(super) mod samples {
    use bytes::Bytes;
    use fastrand::Rng;

    use super::super::{Begin, Commit, LogicalMessage, Message, OldTuple, Tuple, Update};
    use crate::event::{Datum, Lsn, Relation, RelationColumn, ReplicaIdentity, Timestamp};

    /// One of every form.
    pub(crate) fn all() -> Vec<Message> {
        let lsn = Lsn::new(0x16_B374_D848);
        let at = Timestamp::new(848_657_297_123_456);
        let new = tuple(&[Datum::Text(b"7"), Datum::Null, Datum::Unchanged, Datum::Text(b"")]);
        let key = || OldTuple::Key(tuple(&[Datum::Text(b"6"), Datum::Null, Datum::Null, Datum::Null]));
        let full = || OldTuple::Full(new.clone());
        let update = |old| Message::Update(Update { relation: 16_384, old, new: new.clone() });
        vec![
            Message::Begin(Begin { commit_lsn: lsn, committed_at: at, xid: 743 }),
            Message::Commit(Commit { commit_lsn: lsn, end_lsn: Lsn::new(lsn.get() + 48), committed_at: at }),
            Message::Origin { commit_lsn: lsn, name: "elsewhere".into() },
            relation(ReplicaIdentity::Default, 4),
            Message::Type { oid: 16_390, schema: "public".into(), name: "mood".into() },
            Message::Insert { relation: 16_384, new: new.clone() },
            Message::Insert { relation: 16_384, new: tuple(&[]) },
            update(None),
            update(Some(key())),
            update(Some(full())),
            Message::Delete { relation: 16_384, old: key() },
            Message::Delete { relation: 16_384, old: full() },
            Message::Truncate { relations: vec![16_384, 16_400], cascade: true, restart_identity: false },
            message(true, "tidegate:deploys.eu", b"{\"ok\":true}"),
            message(false, "", b""),
        ]
    }

    /// Any message at all.
    pub(crate) fn generated(random: &mut Rng) -> Message {
        let lsn = Lsn::new(random.u64(..));
        let at = Timestamp::new(random.i64(..));
        let relation_oid = random.u32(..);
        match random.u8(..10) {
            0 => Message::Begin(Begin { commit_lsn: lsn, committed_at: at, xid: random.u32(..) }),
            1 => Message::Commit(Commit {
                commit_lsn: lsn,
                end_lsn: Lsn::new(random.u64(..)),
                committed_at: at,
            }),
            2 => Message::Origin { commit_lsn: lsn, name: word(random).into() },
            3 => {
                let identity = random.choice([
                    ReplicaIdentity::Default,
                    ReplicaIdentity::Nothing,
                    ReplicaIdentity::Full,
                    ReplicaIdentity::Index,
                ]);
                relation(identity.expect("four to choose from"), random.u16(..40))
            }
            4 => {
                Message::Type { oid: relation_oid, schema: schema(random).into(), name: word(random).into() }
            }
            5 => Message::Insert { relation: relation_oid, new: any_tuple(random) },
            6 => Message::Update(Update {
                relation: relation_oid,
                old: random.bool().then(|| old(random)),
                new: any_tuple(random),
            }),
            7 => Message::Delete { relation: relation_oid, old: old(random) },
            8 => Message::Truncate {
                relations: (0..random.u8(..9)).map(|_| random.u32(..)).collect(),
                cascade: random.bool(),
                restart_identity: random.bool(),
            },
            _ => message(random.bool(), &word(random), word(random).as_bytes()),
        }
    }

    fn relation(identity: ReplicaIdentity, columns: u16) -> Message {
        let column = |index| RelationColumn {
            name: format!("Spalte {index} ü").into(),
            key: index == 0,
            type_oid: 20,
            type_modifier: -1,
        };
        Message::Relation(Relation {
            oid: 16_384,
            schema: "pg_catalog".into(),
            name: "entries".into(),
            identity,
            columns: (0..columns).map(column).collect(),
        })
    }

    fn message(transactional: bool, prefix: &str, content: &[u8]) -> Message {
        Message::Message(LogicalMessage {
            transactional,
            lsn: Lsn::new(0x16_B374_D800),
            prefix: prefix.into(),
            content: Bytes::copy_from_slice(content),
        })
    }

    fn tuple(columns: &[Datum<'_>]) -> Tuple {
        Tuple { columns: u16::try_from(columns.len()).expect("few"), row: columns.iter().copied().collect() }
    }

    fn any_tuple(random: &mut Rng) -> Tuple {
        let words: Vec<Option<Option<String>>> = (0..random.u8(..12))
            .map(|_| random.bool().then(|| random.bool().then(|| word(random))))
            .collect();
        let columns: Vec<Datum<'_>> = words
            .iter()
            .map(|column| match column {
                None => Datum::Null,
                Some(None) => Datum::Unchanged,
                Some(Some(text)) => Datum::Text(text.as_bytes()),
            })
            .collect();
        tuple(&columns)
    }

    fn old(random: &mut Rng) -> OldTuple {
        let tuple = any_tuple(random);
        if random.bool() { OldTuple::Key(tuple) } else { OldTuple::Full(tuple) }
    }

    fn word(random: &mut Rng) -> String {
        (0..random.u8(..20)).map(|_| random.char('\u{1}'..)).collect()
    }

    fn schema(random: &mut Rng) -> String {
        format!("s{}", word(random))
    }
}
