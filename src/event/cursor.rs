use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Lsn, Snapshot, Xid};

/// A place in the journal: the end of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The commit record of the transaction.
    pub commit_lsn: Lsn,
    /// How many of its changes lie before this place.
    pub index: u32,
}

/// One life of a journal: positions of different lives cannot be compared. A later life has a greater number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

/// How far a client has come: everything up to here has been delivered.
///
/// Right after a snapshot the place alone does not say it: transactions that committed before the place may have
/// become visible after it, and the other way round. Such a cursor carries the snapshot too, and what comes after
/// it is *after the place and not visible in the snapshot*. Once the journal has passed the snapshot's marker, no
/// later transaction is visible in it, and cursors are plain positions again.
///
/// Text form: URL-safe base64 of version `2`, the incarnation, commit LSN and index, then, where there is one, the
/// marker's place and the snapshot, and a check over all that. It is for this server to read and for nobody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The life of the journal that it belongs to.
    pub incarnation: Incarnation,
    /// The end of a transaction in it.
    pub position: Position,
    /// What had been seen beyond the position, where a position alone does not tell.
    pub seen: Option<Seen>,
}

/// What was seen beyond a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What was visible.
    pub snapshot: Snapshot,
    /// From here on nothing was: the marker that was written after the snapshot. Whoever goes on from such a cursor has to
    /// have come as far: another process may not have yet.
    pub settled: Position,
}

/// A text that no server wrote as a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor")]
pub struct InvalidCursor;

const VERSION: u8 = 2;
/// A snapshot names at most the server's connections and prepared transactions; PostgreSQL's hard limit is 2^18.
const MOST_RUNNING: usize = 1 << 18;
const CHECK_BYTES: usize = 4;

impl Cursor {
    /// The text form.
    pub fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(25);
        bytes.push(VERSION);
        bytes.extend(self.incarnation.0.to_be_bytes());
        put_position(self.position, &mut bytes);
        if let Some(Seen { snapshot, settled }) = &self.seen {
            put_position(*settled, &mut bytes);
            for xid in [snapshot.xmin(), snapshot.xmax()].iter().chain(snapshot.running()) {
                bytes.extend(xid.get().to_be_bytes());
            }
        }
        bytes.extend(check(&bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`InvalidCursor`] for anything that [`Cursor::encode`] did not write.
    pub fn decode(text: &str) -> Result<Self, InvalidCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        let (body, given) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(InvalidCursor)?;
        if check(body) != *given {
            return Err(InvalidCursor);
        }
        let (version, rest) = body.split_first().ok_or(InvalidCursor)?;
        if *version != VERSION {
            return Err(InvalidCursor);
        }
        let (incarnation, rest) = rest.split_first_chunk::<8>().ok_or(InvalidCursor)?;
        let (position, rest) = position(rest)?;
        let seen = if rest.is_empty() {
            None
        } else {
            let (settled, rest) = self::position(rest)?;
            Some(Seen { snapshot: decode_snapshot(rest)?, settled })
        };
        Ok(Self { incarnation: Incarnation(u64::from_be_bytes(*incarnation)), position, seen })
    }
}

fn put_position(position: Position, out: &mut Vec<u8>) {
    out.extend(position.commit_lsn.get().to_be_bytes());
    out.extend(position.index.to_be_bytes());
}

fn position(bytes: &[u8]) -> Result<(Position, &[u8]), InvalidCursor> {
    let (commit_lsn, rest) = bytes.split_first_chunk::<8>().ok_or(InvalidCursor)?;
    let (index, rest) = rest.split_first_chunk::<4>().ok_or(InvalidCursor)?;
    let commit_lsn = Lsn::new(u64::from_be_bytes(*commit_lsn));
    Ok((Position { commit_lsn, index: u32::from_be_bytes(*index) }, rest))
}

fn decode_snapshot(bytes: &[u8]) -> Result<Snapshot, InvalidCursor> {
    let (xids, odd) = bytes.as_chunks::<8>();
    let mut xids = xids.iter().map(|xid| Xid::new(u64::from_be_bytes(*xid)));
    match (odd, xids.next(), xids.next()) {
        ([], Some(xmin), Some(xmax)) if xids.len() <= MOST_RUNNING => {
            Snapshot::new(xmin, xmax, xids.collect()).map_err(|_| InvalidCursor)
        }
        _ => Err(InvalidCursor),
    }
}

/// FNV-1a over `bytes`: tells a mangled cursor from a whole one. A forged one gains nothing: a cursor grants no
/// right, and a place that is not the journal's is answered with a fresh snapshot.
fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    bytes
        .iter()
        .fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
        .to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(snapshot: Option<&str>) -> Cursor {
        Cursor {
            incarnation: Incarnation(0xDEAD_BEEF),
            position: Position { commit_lsn: Lsn::new(0x16_B374_D848), index: 3 },
            seen: snapshot.map(|text| Seen {
                snapshot: text.parse().expect("valid"),
                settled: Position { commit_lsn: Lsn::new(0x16_B374_D999), index: 1 },
            }),
        }
    }

    #[test]
    fn cursors_round_trip() {
        for snapshot in [None, Some("10:20:"), Some("10:20:10,14")] {
            let cursor = cursor(snapshot);
            assert_eq!(Cursor::decode(&cursor.encode()), Ok(cursor));
        }
    }

    #[test]
    fn a_mangled_cursor_is_refused() {
        let text = cursor(Some("10:20:10")).encode();
        for length in 0..text.len() {
            assert!(Cursor::decode(&text[..length]).is_err());
        }
        for index in 0..text.len() {
            let mut mangled = text.clone().into_bytes();
            mangled[index] = if mangled[index] == b'A' { b'B' } else { b'A' };
            assert!(Cursor::decode(std::str::from_utf8(&mangled).expect("ASCII")).is_err());
        }
        assert!(Cursor::decode("größe").is_err());
    }
}
