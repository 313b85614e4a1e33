//! A row of ten columns as a message for services.
//!
//! Cost model: a row costs a body of its own and an id, the digits of nine numbers of the envelope, and one pass over the
//! text of each value: strings look for what JSON escapes, dates and numbers are read and written. What all rows of a
//! table have in common is copied.
//!
//! Beside it: the same values as the wire protocol gives them to browsers, which is the least that JSON costs.

#[allow(dead_code, reason = "each bench uses its part of what they share")]
#[path = "support/measure.rs"]
mod measure;

use std::sync::Arc;

use measure::{Stopwatch, count, median, verdict};
use tidegate::event::envelope::{Encoder, Source};
use tidegate::event::{
    Change, Chunk, Class, Datum, Lsn, Operation, Position, Relation, RelationColumn, ReplicaIdentity, Row,
    RowChange, Timestamp, Xid, write_json,
};

const ROWS: usize = 1_000;
const ROUNDS: usize = 101;
/// Nanoseconds a row.
const REACH: f64 = 2_000.0;

/// Name, type, modifier, and a value.
const COLUMNS: [(&str, u32, i32, &str); 10] = [
    ("id", 20, -1, "9007199254740993"),
    ("board_id", 23, -1, "42"),
    ("title", 25, -1, "Write the report, then have it read"),
    ("status", 1043, 24, "open"),
    ("body", 25, -1, "A line of text that is neither long nor short,\nand says \"nothing\" of interest."),
    ("amount", 1700, (10 << 16 | 2) + 4, "12345.67"),
    ("done", 16, -1, "f"),
    ("created_at", 1184, -1, "2026-11-22 10:08:17.123456+00"),
    ("due", 1082, -1, "2026-12-24"),
    ("reference", 2950, -1, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
];

fn main() {
    let chunk = chunk();
    let mut encoder = Encoder::new(&Source { name: "bench".into(), database: "bench".into() });
    let classes: Vec<Class> =
        COLUMNS.iter().map(|(_, oid, ..)| Class::of_builtin(*oid).expect("built in")).collect();
    let (mut messages, mut frame) = (Vec::new(), Vec::new());
    let (mut ours, mut plain, mut bytes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let stopwatch = Stopwatch::start();
        for place in 0..ROWS {
            messages.clear();
            encoder.encode(&chunk, place, Timestamp::default(), &mut messages);
            bytes = messages[0].body.len();
        }
        ours.push(per_row(stopwatch));
        let stopwatch = Stopwatch::start();
        for change in chunk.changes.iter() {
            frame.clear();
            let Change::Row(change) = change else { unreachable!("rows only") };
            let row = change.operation.new().expect("inserts only");
            for (class, datum) in classes.iter().zip(row.columns()) {
                write_json(class, datum, &mut frame);
            }
            std::hint::black_box(&frame);
        }
        plain.push(per_row(stopwatch));
    }
    let (ours, plain) = (median(&ours), median(&plain));
    println!(
        "envelope, ten columns, {bytes} bytes: {ours:.0} ns a message (reach {REACH:.0}, {}), {:.1} × the values alone in \
         the protocol's form ({plain:.0} ns)",
        verdict(ours < REACH),
        ours / plain,
    );
}

fn per_row(stopwatch: Stopwatch) -> f64 {
    stopwatch.stop().wall.as_secs_f64() * 1e9 / count(ROWS as u64)
}

fn chunk() -> Chunk {
    let columns = COLUMNS.iter().map(|(name, type_oid, type_modifier, _)| RelationColumn {
        name: (*name).into(),
        key: *name == "id",
        type_oid: *type_oid,
        type_modifier: *type_modifier,
    });
    let relation = Arc::new(Relation {
        oid: 1,
        schema: "public".into(),
        name: "entries".into(),
        identity: ReplicaIdentity::Default,
        columns: columns.collect(),
    });
    let row: Row = COLUMNS.iter().map(|(.., text)| Datum::Text(text.as_bytes())).collect();
    let change = Change::Row(RowChange { relation, operation: Operation::Insert { new: row } });
    Chunk {
        previous: Position::default(),
        commit_lsn: Lsn::new(0x16_B374_D848),
        xid: Xid::new(743),
        committed_at: Timestamp::new(848_657_297_123_456),
        first_index: 0,
        changes: vec![change; ROWS].into(),
        last: true,
    }
}
