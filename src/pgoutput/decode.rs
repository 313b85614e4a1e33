use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::{Begin, Commit, LogicalMessage, Message, OldTuple, Tuple, Update};
use crate::event::{Lsn, Relation, RelationColumn, ReplicaIdentity, Row, Timestamp};

/// Bytes that are no message of protocol version 1. The stream cannot be trusted further: close the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The message has no first byte.
    #[error("an empty message")]
    Empty,
    /// The first byte names no kind of message that was asked for.
    #[error("a message of unknown kind {0:#04x}")]
    UnknownKind(u8),
    /// The message ends before its own lengths say.
    #[error("a message of kind `{}` is cut short", char::from(*.0))]
    Truncated(u8),
    /// The message goes on behind its end.
    #[error("a message of kind `{}` has {bytes} bytes too many", char::from(*.kind))]
    Trailing {
        /// The first byte of the message.
        kind: u8,
        /// How many bytes.
        bytes: usize,
    },
    /// A name is not UTF-8, though the connection asked for it.
    #[error("a name in a message of kind `{}` is not UTF-8", char::from(*.0))]
    NotUtf8(u8),
    /// A part of the message has a value that the protocol does not know.
    #[error("a message of kind `{}` has an unknown {what}: {value:#04x}", char::from(*.kind))]
    UnknownValue {
        /// The first byte of the message.
        kind: u8,
        /// Which part.
        what: &'static str,
        /// What stands there.
        value: u8,
    },
    /// A row is cut short, or holds a column of a kind other than `n`, `u` and `t`.
    #[error("a message of kind `{}` has a broken row", char::from(*.0))]
    InvalidRow(u8),
}

/// Reads one message: the content of one `XLogData`.
///
/// Rows and contents share the memory of `message`.
///
/// # Errors
/// [`DecodeError`] for anything that is not exactly one message.
pub fn decode(mut message: Bytes) -> Result<Message, DecodeError> {
    if message.is_empty() {
        return Err(DecodeError::Empty);
    }
    let kind = message.get_u8();
    let mut body = Body { kind, bytes: message };
    let decoded = match kind {
        b'B' => body.begin()?,
        b'C' => body.commit()?,
        b'O' => Message::Origin { commit_lsn: body.lsn()?, name: body.name()? },
        b'R' => Message::Relation(body.relation()?),
        b'Y' => Message::Type { oid: body.u32()?, schema: body.schema()?, name: body.name()? },
        b'I' => body.insert()?,
        b'U' => body.update()?,
        b'D' => body.delete()?,
        b'T' => body.truncate()?,
        b'M' => body.logical_message()?,
        unknown => return Err(DecodeError::UnknownKind(unknown)),
    };
    match body.bytes.len() {
        0 => Ok(decoded),
        bytes => Err(DecodeError::Trailing { kind, bytes }),
    }
}

/// What is left of a message.
struct Body {
    kind: u8,
    bytes: Bytes,
}

impl Body {
    fn begin(&mut self) -> Result<Message, DecodeError> {
        let commit_lsn = self.lsn()?;
        let committed_at = self.timestamp()?;
        Ok(Message::Begin(Begin { commit_lsn, committed_at, xid: self.u32()? }))
    }

    fn commit(&mut self) -> Result<Message, DecodeError> {
        match self.u8()? {
            0 => {}
            value => return Err(self.unknown("flag", value)),
        }
        let commit_lsn = self.lsn()?;
        let end_lsn = self.lsn()?;
        Ok(Message::Commit(Commit { commit_lsn, end_lsn, committed_at: self.timestamp()? }))
    }

    fn relation(&mut self) -> Result<Relation, DecodeError> {
        let oid = self.u32()?;
        let schema = self.schema()?;
        let name = self.name()?;
        let letter = self.u8()?;
        let identity =
            ReplicaIdentity::from_catalog(letter).ok_or_else(|| self.unknown("replica identity", letter))?;
        let columns = (0..self.u16()?).map(|_| self.relation_column()).collect::<Result<_, _>>()?;
        Ok(Relation { oid, schema, name, identity, columns })
    }

    fn relation_column(&mut self) -> Result<RelationColumn, DecodeError> {
        let key = self.flag("column flag")?;
        let name = self.name()?;
        Ok(RelationColumn { key, name, type_oid: self.u32()?, type_modifier: self.u32()?.cast_signed() })
    }

    fn insert(&mut self) -> Result<Message, DecodeError> {
        let relation = self.u32()?;
        match self.u8()? {
            b'N' => Ok(Message::Insert { relation, new: self.tuple()? }),
            value => Err(self.unknown("kind of row", value)),
        }
    }

    fn update(&mut self) -> Result<Message, DecodeError> {
        let relation = self.u32()?;
        let first = self.u8()?;
        if first == b'N' {
            return Ok(Message::Update(Update { relation, old: None, new: self.tuple()? }));
        }
        let old = Some(self.old_tuple(first)?);
        match self.u8()? {
            b'N' => Ok(Message::Update(Update { relation, old, new: self.tuple()? })),
            value => Err(self.unknown("kind of row", value)),
        }
    }

    fn delete(&mut self) -> Result<Message, DecodeError> {
        let relation = self.u32()?;
        let kind = self.u8()?;
        Ok(Message::Delete { relation, old: self.old_tuple(kind)? })
    }

    fn truncate(&mut self) -> Result<Message, DecodeError> {
        const CASCADE: u8 = 1;
        const RESTART_IDENTITY: u8 = 2;
        let count = usize::try_from(self.u32()?).map_err(|_| DecodeError::Truncated(self.kind))?;
        let options = self.u8()?;
        if options & !(CASCADE | RESTART_IDENTITY) != 0 {
            return Err(self.unknown("truncate option", options));
        }
        if count > self.bytes.len() / size_of::<u32>() {
            return Err(DecodeError::Truncated(self.kind));
        }
        let relations = (0..count).map(|_| self.u32()).collect::<Result<_, _>>()?;
        Ok(Message::Truncate {
            relations,
            cascade: options & CASCADE != 0,
            restart_identity: options & RESTART_IDENTITY != 0,
        })
    }

    fn logical_message(&mut self) -> Result<Message, DecodeError> {
        let transactional = self.flag("message flag")?;
        let lsn = self.lsn()?;
        let prefix = self.name()?;
        let length = usize::try_from(self.u32()?).map_err(|_| DecodeError::Truncated(self.kind))?;
        if length > self.bytes.len() {
            return Err(DecodeError::Truncated(self.kind));
        }
        let content = self.bytes.split_to(length);
        Ok(Message::Message(LogicalMessage { transactional, lsn, prefix, content }))
    }

    fn old_tuple(&mut self, kind: u8) -> Result<OldTuple, DecodeError> {
        match kind {
            b'K' => Ok(OldTuple::Key(self.tuple()?)),
            b'O' => Ok(OldTuple::Full(self.tuple()?)),
            value => Err(self.unknown("kind of row", value)),
        }
    }

    fn tuple(&mut self) -> Result<Tuple, DecodeError> {
        let columns = self.u16()?;
        let row = Row::split_off(&mut self.bytes, usize::from(columns))
            .map_err(|_| DecodeError::InvalidRow(self.kind))?;
        Ok(Tuple { columns, row })
    }

    fn lsn(&mut self) -> Result<Lsn, DecodeError> {
        self.bytes.try_get_u64().map(Lsn::new).map_err(|_| DecodeError::Truncated(self.kind))
    }

    fn timestamp(&mut self) -> Result<Timestamp, DecodeError> {
        self.bytes.try_get_i64().map(Timestamp::new).map_err(|_| DecodeError::Truncated(self.kind))
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.bytes.try_get_u32().map_err(|_| DecodeError::Truncated(self.kind))
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.bytes.try_get_u16().map_err(|_| DecodeError::Truncated(self.kind))
    }

    fn u8(&mut self) -> Result<u8, DecodeError> {
        self.bytes.try_get_u8().map_err(|_| DecodeError::Truncated(self.kind))
    }

    fn flag(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(self.unknown(what, value)),
        }
    }

    /// Takes a `String`: bytes up to a zero.
    fn name(&mut self) -> Result<Arc<str>, DecodeError> {
        let end = memchr::memchr(0, &self.bytes).ok_or(DecodeError::Truncated(self.kind))?;
        let name = std::str::from_utf8(&self.bytes[..end])
            .map(Arc::from)
            .map_err(|_| DecodeError::NotUtf8(self.kind))?;
        self.bytes.advance(end + 1);
        Ok(name)
    }

    /// Takes the name of a schema, which is left empty for `pg_catalog`.
    fn schema(&mut self) -> Result<Arc<str>, DecodeError> {
        let name = self.name()?;
        Ok(if name.is_empty() { "pg_catalog".into() } else { name })
    }

    fn unknown(&self, what: &'static str, value: u8) -> DecodeError {
        DecodeError::UnknownValue { kind: self.kind, what, value }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::super::encode;
    use super::super::encode::samples;
    use super::*;

    fn encoded(message: &Message) -> Bytes {
        let mut out = BytesMut::new();
        encode(message, &mut out);
        out.freeze()
    }

    #[test]
    fn every_form_of_every_message_round_trips() {
        for message in samples::all() {
            assert_eq!(decode(encoded(&message)).as_ref(), Ok(&message));
        }
    }

    #[test]
    fn generated_messages_round_trip() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let message = samples::generated(&mut random);
            assert_eq!(decode(encoded(&message)).as_ref(), Ok(&message));
        }
    }

    #[test]
    fn every_prefix_of_every_message_is_refused() {
        for message in samples::all() {
            let whole = encoded(&message);
            for length in 0..whole.len() {
                assert!(decode(whole.slice(..length)).is_err(), "{message:?} cut to {length} bytes");
            }
        }
    }

    #[test]
    fn a_byte_behind_a_message_is_refused() {
        for message in samples::all() {
            let mut longer = BytesMut::from(&encoded(&message)[..]);
            longer.extend_from_slice(b"\0");
            let error = decode(longer.freeze());
            assert!(matches!(error, Err(DecodeError::Trailing { bytes: 1, .. })), "{message:?}: {error:?}");
        }
    }

    #[test]
    fn mutated_messages_never_panic() {
        let mut random = fastrand::Rng::with_seed(11);
        let whole: Vec<Bytes> = samples::all().iter().map(encoded).collect();
        for _ in 0..200_000 {
            let mut bytes = whole[random.usize(..whole.len())].to_vec();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len());
                match random.u8(..4) {
                    0 => bytes[at] = random.u8(..),
                    1 => bytes[at] ^= 1 << random.u8(..8),
                    2 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, random.u8(..)),
                }
            }
            if let Ok(message) = decode(bytes.into()) {
                assert_eq!(decode(encoded(&message)).as_ref(), Ok(&message), "what is read can be written");
            }
        }
    }

    #[test]
    fn kinds_that_were_not_asked_for_are_refused() {
        let known = b"BCORYIUDTM";
        for kind in (0..=u8::MAX).filter(|kind| !known.contains(kind)) {
            assert_eq!(decode(Bytes::copy_from_slice(&[kind, 0, 0])), Err(DecodeError::UnknownKind(kind)));
        }
    }

    #[test]
    fn rows_share_the_memory_of_the_message() {
        let insert = samples::all().into_iter().find(|message| matches!(message, Message::Insert { .. }));
        let bytes = encoded(&insert.expect("among the samples"));
        let Ok(Message::Insert { new, .. }) = decode(bytes.clone()) else { panic!("an insert") };
        assert!(bytes.as_ptr_range().contains(&new.row.as_bytes().as_ptr()));
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let message =
            |bytes: &'static [u8]| decode(Bytes::from_static(bytes)).expect_err("broken").to_string();
        assert_eq!(message(b"S\0"), "a message of unknown kind 0x53");
        assert_eq!(message(b"B\0"), "a message of kind `B` is cut short");
        assert_eq!(message(b"I\0\0\0\x01X"), "a message of kind `I` has an unknown kind of row: 0x58");
        assert_eq!(message(b"I\0\0\0\x01N\0\x01b"), "a message of kind `I` has a broken row");
    }
}
