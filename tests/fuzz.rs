//! Whatever comes in, nothing panics: random bytes and mutated valid input, for `FUZZ_SECONDS` a target.
//!
//! The seed is printed; `FUZZ_SEED` runs it again.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use fastrand::Rng;
use tidegate::event::{Cursor, Incarnation, Lsn, Mark, Position, Record, Seen};
use tidegate::pgoutput;
use tidegate::protocol::ClientFrame;

fn number(name: &str) -> Option<u64> {
    std::env::var_os(name).map(|text| {
        let text = text.to_str().unwrap_or_default();
        text.parse().unwrap_or_else(|_| panic!("{name} is a number, not `{text}`"))
    })
}

/// Feeds `target` with mutations of `corpus` until the time is up; what it finds, it panics with.
fn fuzz(corpus: &[Vec<u8>], target: impl Fn(&[u8])) {
    let seed = number("FUZZ_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("FUZZ_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let end = Instant::now() + Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(2));
    let mut rounds = 0_u64;
    for input in corpus {
        target(input);
    }
    while Instant::now() < end {
        for _ in 0..256 {
            target(&mutated(corpus, &mut random));
        }
        rounds += 256;
    }
    println!("{rounds} inputs");
}

fn mutated(corpus: &[Vec<u8>], random: &mut Rng) -> Vec<u8> {
    let mut bytes = random.choice(corpus).cloned().unwrap_or_default();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(..=bytes.len());
        match random.u8(..8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            1 if at < bytes.len() => bytes[at] = random.u8(..),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, random.u8(..)),
            4 if at < bytes.len() => {
                bytes.remove(at);
            }
            // A part of another one.
            5 => {
                let other = random.choice(corpus).cloned().unwrap_or_default();
                let from = random.usize(..=other.len());
                let to = random.usize(from..=other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            // The numbers at which lengths break.
            6 => {
                let edge: [&[u8]; 6] = [
                    &[0xFF; 4],
                    &[0; 4],
                    &[0x7F, 0xFF, 0xFF, 0xFF],
                    &[0x80, 0, 0, 0],
                    &[0xFF, 0xFF],
                    &[0xFF; 8],
                ];
                let edge = random.choice(edge).expect("six");
                let to = (at + edge.len()).min(bytes.len());
                bytes.splice(at..to, edge.iter().copied());
            }
            _ => {
                let from = random.usize(..=at);
                let part = bytes[from..at].to_vec();
                bytes.splice(at..at, part);
            }
        }
        // Doubling again and again would test patience only.
        bytes.truncate(16 * 1_024);
    }
    bytes
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter(char::is_ascii_hexdigit).collect();
    let pair = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("two digits");
    digits.chunks(2).map(pair).collect()
}

#[test]
fn no_replication_message_panics_and_what_is_read_is_written_the_same() {
    let corpus = [
        // Begin, commit, origin, type, truncate, message.
        "42 00000016B374D848 0002FF0000000000 000002E7",
        "43 00 00000016B374D848 00000016B374D878 0002FF0000000000",
        "4F 00000016B374D848 656C7365776865726500",
        "59 00004006 7075626C696300 6D6F6F6400",
        "54 00000002 01 00004000 00004010",
        "4D 01 00000016B374D848 746964656761746500 0000000B 7B226F6B223A747275657D",
        // A relation of two columns; insert, update with each old image, delete.
        "52 00004000 7075626C696300 656E747269657300 66 0002 01 696400 00000014 FFFFFFFF 00 7469746C6500 00000019 FFFFFFFF",
        "49 00004000 4E 0003 74 00000001 37 6E 75",
        "55 00004000 4E 0002 74 00000001 37 75",
        "55 00004000 4B 0002 74 00000001 36 6E 4E 0002 74 00000001 37 75",
        "55 00004000 4F 0002 74 00000001 36 6E 4E 0002 74 00000001 37 75",
        "44 00004000 4B 0002 74 00000001 37 6E",
        "44 00004000 4F 0002 74 00000001 37 6E",
    ];
    let corpus: Vec<_> = corpus.iter().map(|text| hex(text)).collect();
    for message in &corpus {
        pgoutput::decode(Bytes::copy_from_slice(message)).expect("the corpus is valid");
    }
    fuzz(&corpus, |bytes| {
        let Ok(message) = pgoutput::decode(Bytes::copy_from_slice(bytes)) else { return };
        let mut written = BytesMut::new();
        pgoutput::encode(&message, &mut written);
        assert_eq!(pgoutput::decode(written.freeze()).as_ref(), Ok(&message));
    });
}

#[test]
fn no_client_frame_panics() {
    let corpus = texts(&[
        r#"{"type":"auth","token":"eyJ"}"#,
        r#"{"type":"subscribe","id":"board","table":"public.entries","where":"board_id = $1","params":["7",1,null,true,["a"]],"columns":["id"],"snapshot":true}"#,
        r#"{"type":"subscribe","id":"board","table":"public.entries","cursor":"x","shape":"y"}"#,
        r#"{"type":"subscribe","id":"feed","table":"a","snapshot":{"order_by":"at desc","limit":50}}"#,
        r#"{"type":"page","id":"feed","after":{"at":"x","id":"1"},"limit":50}"#,
        r#"{"type":"subscribe","id":"kpi","table":"k","snapshot":true,"delivery":"latest","interval_ms":250}"#,
        r#"{"type":"subscribe","id":"deploys","channel":"deploys.eu"}"#,
        r#"{"type":"unsubscribe","id":"board"}"#,
        r#"{"type":"await","lsn":"16/B374D848"}"#,
        r#"{"type":"ping"}"#,
    ]);
    fuzz(&corpus, |bytes| drop(ClientFrame::parse(bytes)));
}

#[test]
fn no_filter_text_panics_and_errors_lie_within_it() {
    let corpus = texts(&[
        "board_id = $1 AND status <> 'archived'",
        "id IN (1, 2, 3) OR NOT (title LIKE 'a%_\\%' ESCAPE '\\')",
        "n BETWEEN -1.5e3 AND 2 AND at >= 'now'::timestamptz",
        "meta @> '{\"a\":[1]}' AND meta->'b'->>'c' = 'x' AND tags && ARRAY['a','b']",
        "a IS NOT DISTINCT FROM b AND (c IS NOT TRUE) IS UNKNOWN",
        "status = ANY('{a,b}') AND \"Größe\" = E'\\n' AND x = $$dollar$$",
        "((((a = 1))))",
    ]);
    fuzz(&corpus, tidegate::filter::fuzz);
}

#[test]
fn no_record_panics_and_what_is_read_is_written_the_same() {
    let mark = |token| {
        let position = Position { commit_lsn: Lsn::new(0x16_B374_D848), index: 3 };
        let record =
            Record::Mark(Mark { previous: position, commit_lsn: Lsn::new(0x17_0000_0000), index: 1, token });
        let mut out = BytesMut::new();
        record.encode(&mut out);
        out.to_vec()
    };
    let mut corpus = vec![mark(None), mark(Some(7))];
    corpus.extend(chunks());
    fuzz(&corpus, |bytes| {
        let Ok(record) = Record::decode(Bytes::copy_from_slice(bytes)) else { return };
        let mut written = BytesMut::new();
        record.encode(&mut written);
        assert_eq!(Record::decode(written.freeze()), Ok(record));
    });
}

/// Records of transactions of every kind of change.
fn chunks() -> Vec<Vec<u8>> {
    use std::sync::Arc;

    use tidegate::event::{
        Change, Chunk, Datum, Image, Operation, Relation, RelationColumn, ReplicaIdentity, Row, RowChange,
        Timestamp, Xid,
    };
    let column = |name: &str, key| RelationColumn { name: name.into(), key, type_oid: 20, type_modifier: -1 };
    let relation = Arc::new(Relation {
        oid: 16_384,
        schema: "public".into(),
        name: "entries".into(),
        identity: ReplicaIdentity::Full,
        columns: [column("id", true), column("title", false)].into_iter().collect(),
    });
    let row = |id: &'static str, title| -> Row { [Datum::Text(id.as_bytes()), title].into_iter().collect() };
    let of = |operation| Change::Row(RowChange { relation: relation.clone(), operation });
    let changes = [
        of(Operation::Insert { new: row("1", Datum::Null) }),
        of(Operation::Update {
            old: Some(Image::Full(row("1", Datum::Null))),
            new: row("1", Datum::Unchanged),
        }),
        of(Operation::Update { old: None, new: row("1", Datum::Text(b"x")) }),
        of(Operation::Delete { old: Image::Key(row("1", Datum::Null)) }),
        Change::Truncate(relation.clone()),
        Change::Schema,
    ];
    let record = |changes: &[Change]| {
        let record = Record::Chunk(Chunk {
            previous: Position::default(),
            commit_lsn: Lsn::new(0x16_B374_D848),
            xid: Xid::new(743),
            committed_at: Timestamp::new(848_657_297_123_456),
            first_index: 0,
            changes: changes.to_vec().into(),
            last: true,
        });
        let mut out = BytesMut::new();
        record.encode(&mut out);
        out.to_vec()
    };
    (1..=changes.len()).map(|count| record(&changes[..count])).collect()
}

#[test]
fn no_cursor_panics_and_what_is_read_is_written_the_same() {
    let cursor = |snapshot: Option<&str>| {
        let cursor = Cursor {
            incarnation: Incarnation(0xDEAD_BEEF),
            position: Position { commit_lsn: Lsn::new(0x16_B374_D848), index: 3 },
            seen: snapshot.map(|text| {
                let settled = Position { commit_lsn: Lsn::new(0x16_B374_D999), index: 1 };
                Seen { snapshot: text.parse().expect("valid"), settled }
            }),
        };
        cursor.encode().into_bytes()
    };
    fuzz(&[cursor(None), cursor(Some("10:20:")), cursor(Some("10:20:10,14"))], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(cursor) = Cursor::decode(&text) {
            assert_eq!(Cursor::decode(&cursor.encode()), Ok(cursor));
        }
    });
}

#[test]
fn no_name_of_a_table_panics() {
    let corpus = texts(&["public.entries", "\"My App\".\"Ta\"\"ble\"", "größe", "a.b.c", "\"", "."]);
    fuzz(&corpus, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Some(name) = tidegate::event::TableName::parse(&text) {
            assert_eq!(tidegate::event::TableName::parse(&name.to_string()), Some(name));
        }
    });
}
