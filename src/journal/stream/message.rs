//! What a message of the stream holds.
//!
//! ```text
//!  version  kind     incarnation  term  writer  system_id  timeline  then
//!  1        question u64          u64   u64     u64        u32       -
//!  1        opening  …                                               starts_at u64
//!  1        entries  …                                               base, then again and again:
//!                                                                    reaches u64  length u32  record
//!  1        part     …                                               index u32  count u32  a piece of entries
//!  1        packed   …                                               length u32  entries, compressed (zstd)
//! ```
//!
//! All numbers are in network order. The base is the position (lsn u64, index u32) that the term's first record follows.
//! A record has the encoding of [`Record::encode`]. Entries that are larger than a message may be are told in parts, which
//! follow each other with nothing of the same writer in between. Packed are messages under load, which hold many records.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::event::{Incarnation, InvalidRecord, Lsn, Position, Record, Relations};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 2 + 4 * 8 + 4;
/// A message is at most this long: brokers refuse long ones (16 MiB since RabbitMQ 4.0), and memory for one is taken at
/// once at either end.
pub(super) const MOST_BYTES: usize = 4 << 20;

mod kind {
    pub(super) const QUESTION: u8 = 0;
    pub(super) const OPENING: u8 = 1;
    pub(super) const ENTRIES: u8 = 2;
    pub(super) const PART: u8 = 3;
    pub(super) const PACKED: u8 = 4;
}

/// Shorter messages are not packed: there is little to gain, and somebody waits for them.
const PACKED_BYTES: usize = 4 * 1_024;
/// What takes more of its length than this when packed, in percent, is sent as it is.
const WORTH_PERCENT: usize = 90;
/// zstd's fastest ordinary level.
const LEVEL: i32 = 1;

/// The time during which one process writes. A later term of the same life has a greater number, and so has every term
/// of a later life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Term {
    pub(super) incarnation: Incarnation,
    pub(super) number: u64,
}

/// Who wrote a message, and of which history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Author {
    pub(super) term: Term,
    /// Drawn at random for each opening: two processes may try for the same term.
    pub(super) writer: u64,
    pub(super) system_id: u64,
    pub(super) timeline: u32,
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    pub(super) author: Author,
    pub(super) body: Body,
}

/// What it is for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    /// A process wants to know what came before this. It says nothing of the journal.
    Question,
    /// A term begins: whatever comes of the terms before it does not count any more.
    Opening {
        /// If a life begins with it: every transaction that commits at or behind this place will be in it.
        starts_at: Lsn,
    },
    /// Records.
    Entries(Entries),
    /// A piece of entries that are too large for a message.
    Part { index: u32, count: u32, piece: Bytes },
}

/// Records, and where those of their term begin.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entries {
    pub(super) base: Position,
    pub(super) entries: Vec<Entry>,
}

/// A record in the stream.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// Up to where the log is in the stream with this record, once it is confirmed; where that is not known, what was
    /// known before.
    pub(super) reaches: Lsn,
    pub(super) record: Record,
}

/// Bytes that are no message of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMessage {
    /// A message of another version.
    #[error("a message of version {0}, where this program reads version {VERSION}: is a newer one writing?")]
    Version(u8),
    /// It ends before its own lengths say, or one of its numbers cannot be.
    #[error("a message is broken")]
    Broken,
    /// A record in it is none.
    #[error("a message holds no record")]
    Record(#[from] InvalidRecord),
}

impl InvalidMessage {
    /// Whether it takes a newer program to read it.
    pub(super) const fn is_newer(&self) -> bool {
        matches!(self, Self::Version(VERSION..) | Self::Record(InvalidRecord::Version(_)))
    }
}

impl Author {
    /// Whether its opening begins a life of the journal.
    pub(super) const fn begins_life(&self) -> bool {
        self.term.number == 0
    }

    fn put(&self, kind: u8, out: &mut BytesMut) {
        out.reserve(HEADER_BYTES);
        out.put_u8(VERSION);
        out.put_u8(kind);
        out.put_u64(self.term.incarnation.0);
        out.put_u64(self.term.number);
        out.put_u64(self.writer);
        out.put_u64(self.system_id);
        out.put_u32(self.timeline);
    }

    /// The message that asks what came before it.
    pub(super) fn question(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.put(kind::QUESTION, &mut out);
        out.freeze()
    }

    /// The message that begins the term.
    pub(super) fn opening(&self, starts_at: Lsn) -> Bytes {
        let mut out = BytesMut::new();
        self.put(kind::OPENING, &mut out);
        out.put_u64(starts_at.get());
        out.freeze()
    }
}

/// Gathers records into one message.
#[derive(Debug)]
pub(super) struct Batch {
    author: Author,
    base: Position,
    bytes: BytesMut,
    records: usize,
}

impl Batch {
    pub(super) fn new(author: Author, base: Position) -> Self {
        Self { author, base, bytes: BytesMut::new(), records: 0 }
    }

    /// How long it has become, in bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records == 0
    }

    pub(super) fn push(&mut self, record: &Record, reaches: Lsn) {
        if self.is_empty() {
            self.author.put(kind::ENTRIES, &mut self.bytes);
            self.bytes.put_u64(self.base.commit_lsn.get());
            self.bytes.put_u32(self.base.index);
        }
        self.records += 1;
        self.bytes.put_u64(reaches.get());
        let length_at = self.bytes.len();
        self.bytes.put_u32(0);
        record.encode(&mut self.bytes);
        let length = u32::try_from(self.bytes.len() - length_at - 4).expect("a chunk is far below 4 GiB");
        self.bytes[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// The messages that carry it, one unless it is larger than `most_bytes`; it is empty again.
    pub(super) fn take(&mut self, most_bytes: usize) -> Vec<Bytes> {
        self.records = 0;
        let whole = self.bytes.split().freeze();
        if whole.len() <= most_bytes {
            return vec![self.packed(&whole[HEADER_BYTES..]).unwrap_or(whole)];
        }
        let entries = whole.slice(HEADER_BYTES..);
        let count = u32::try_from(entries.len().div_ceil(most_bytes)).expect("pieces are megabytes");
        let piece = |index: u32| {
            let from = index as usize * most_bytes;
            let mut out = BytesMut::with_capacity(HEADER_BYTES + 8 + most_bytes);
            self.author.put(kind::PART, &mut out);
            out.put_u32(index);
            out.put_u32(count);
            out.put_slice(&entries[from..entries.len().min(from + most_bytes)]);
            out.freeze()
        };
        (0..count).map(piece).collect()
    }
}

impl Batch {
    /// A message of entries that are packed, if that is worth it.
    fn packed(&self, entries: &[u8]) -> Option<Bytes> {
        if entries.len() < PACKED_BYTES {
            return None;
        }
        let packed = zstd::bulk::compress(entries, LEVEL).expect("a buffer that is large enough");
        if packed.len() * 100 > entries.len() * WORTH_PERCENT {
            return None;
        }
        let mut out = BytesMut::with_capacity(HEADER_BYTES + 4 + packed.len());
        self.author.put(kind::PACKED, &mut out);
        out.put_u32(u32::try_from(entries.len()).expect("a message is a few megabytes"));
        out.put_slice(&packed);
        Some(out.freeze())
    }
}

/// The entries that were packed.
fn unpacked(mut bytes: Bytes) -> Result<Bytes, InvalidMessage> {
    let length = bytes.split_to_checked(4)?.get_u32() as usize;
    // Whoever could write into the stream could say anything.
    if length > MOST_BYTES {
        return Err(InvalidMessage::Broken);
    }
    let entries = zstd::bulk::decompress(&bytes, length).map_err(|_| InvalidMessage::Broken)?;
    if entries.len() == length { Ok(entries.into()) } else { Err(InvalidMessage::Broken) }
}

impl Message {
    /// Reads a message; records share its memory.
    pub(super) fn decode(mut bytes: Bytes, relations: &mut Relations) -> Result<Self, InvalidMessage> {
        let header = bytes.split_to_checked(HEADER_BYTES)?;
        let mut header = header;
        match header.get_u8() {
            VERSION => {}
            other => return Err(InvalidMessage::Version(other)),
        }
        let kind = header.get_u8();
        let author = Author {
            term: Term { incarnation: Incarnation(header.get_u64()), number: header.get_u64() },
            writer: header.get_u64(),
            system_id: header.get_u64(),
            timeline: header.get_u32(),
        };
        let body = match kind {
            kind::QUESTION => Body::Question,
            kind::OPENING => Body::Opening { starts_at: Lsn::new(bytes.split_to_checked(8)?.get_u64()) },
            kind::ENTRIES => Body::Entries(entries(bytes, relations)?),
            kind::PACKED => Body::Entries(entries(unpacked(bytes)?, relations)?),
            kind::PART => {
                let mut numbers = bytes.split_to_checked(8)?;
                let (index, count) = (numbers.get_u32(), numbers.get_u32());
                if index >= count {
                    return Err(InvalidMessage::Broken);
                }
                Body::Part { index, count, piece: bytes }
            }
            _ => return Err(InvalidMessage::Broken),
        };
        Ok(Self { author, body })
    }
}

/// Reads what follows the header of entries.
pub(super) fn entries(mut bytes: Bytes, relations: &mut Relations) -> Result<Entries, InvalidMessage> {
    let mut base = bytes.split_to_checked(12)?;
    let base = Position { commit_lsn: Lsn::new(base.get_u64()), index: base.get_u32() };
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let mut head = bytes.split_to_checked(12)?;
        let reaches = Lsn::new(head.get_u64());
        let record = bytes.split_to_checked(head.get_u32() as usize)?;
        entries.push(Entry { reaches, record: Record::decode_sharing(record, relations)? });
    }
    Ok(Entries { base, entries })
}

trait SplitChecked: Sized {
    fn split_to_checked(&mut self, length: usize) -> Result<Self, InvalidMessage>;
}

impl SplitChecked for Bytes {
    fn split_to_checked(&mut self, length: usize) -> Result<Self, InvalidMessage> {
        if length > self.len() { Err(InvalidMessage::Broken) } else { Ok(self.split_to(length)) }
    }
}
