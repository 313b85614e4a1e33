use bytes::Bytes;

use super::*;
use crate::event::{RelationColumn, ReplicaIdentity, Timestamp};

const OID: u32 = 16_384;

fn relation(columns: &[(&str, bool)]) -> Relation {
    let column = |(name, key): &(&str, bool)| RelationColumn {
        name: (*name).into(),
        key: *key,
        type_oid: 25,
        type_modifier: -1,
    };
    Relation {
        oid: OID,
        schema: "public".into(),
        name: "entries".into(),
        identity: ReplicaIdentity::Full,
        columns: columns.iter().map(column).collect(),
    }
}

fn begin(lsn: u64) -> Message {
    Message::Begin(Begin { commit_lsn: Lsn::new(lsn), committed_at: Timestamp::new(5), xid: 7 })
}

fn commit(lsn: u64) -> Message {
    Message::Commit(Commit {
        commit_lsn: Lsn::new(lsn),
        end_lsn: Lsn::new(lsn + 50),
        committed_at: Timestamp::new(5),
    })
}

fn tuple(columns: &[Datum<'_>]) -> Tuple {
    Tuple { columns: u16::try_from(columns.len()).expect("few"), row: columns.iter().copied().collect() }
}

fn insert(text: &str) -> Message {
    Message::Insert { relation: OID, new: tuple(&[Datum::Text(text.as_bytes()), Datum::Null]) }
}

fn emitted(prefix: &str, content: &str) -> Message {
    Message::Message(LogicalMessage {
        transactional: true,
        lsn: Lsn::new(1),
        prefix: prefix.into(),
        content: Bytes::copy_from_slice(content.as_bytes()),
    })
}

struct Bench {
    assembler: Assembler,
    out: VecDeque<Delivery>,
}

impl Bench {
    fn new(chunk_bytes: usize) -> Self {
        let mut bench = Self { assembler: Assembler::new(chunk_bytes), out: VecDeque::new() };
        bench.push(Message::Relation(relation(&[("id", true), ("body", false)])));
        bench
    }

    fn push(&mut self, message: Message) {
        self.assembler.push(message, &mut self.out).expect("in order");
    }

    fn refused(&mut self, message: Message) -> String {
        self.assembler.push(message, &mut self.out).expect_err("out of order").to_string()
    }

    fn deliveries(&mut self) -> Vec<Delivery> {
        self.out.drain(..).collect()
    }
}

fn mark(commit_lsn: u64, end_lsn: u64, token: Option<u64>) -> Delivery {
    Delivery::Mark { commit_lsn: Lsn::new(commit_lsn), end_lsn: Lsn::new(end_lsn), token }
}

fn update(old: Option<OldTuple>, new: &[Datum<'_>]) -> Message {
    Message::Update(Update { relation: OID, old, new: tuple(new) })
}

fn only_row(bench: &mut Bench) -> RowChange {
    let deliveries = bench.deliveries();
    let [Delivery::Chunk { changes, .. }] = &deliveries[..] else { panic!("one chunk: {deliveries:?}") };
    let [Change::Row(row)] = &changes[..] else { panic!("one row: {changes:?}") };
    row.clone()
}

#[test]
fn a_transaction_is_cut_into_chunks_that_count_on_and_the_last_one_ends_it() {
    let one = Change::Row(RowChange {
        relation: Arc::new(relation(&[("id", true), ("body", false)])),
        operation: Operation::Insert { new: tuple(&[Datum::Text(b"10"), Datum::Null]).row },
    });
    let mut bench = Bench::new(3 * one.size_bytes());
    bench.push(begin(100));
    for index in 10..17 {
        bench.push(insert(&index.to_string()));
    }
    bench.push(commit(100));
    let parts: Vec<(u32, usize, bool, u64)> = bench
        .deliveries()
        .into_iter()
        .map(|delivery| match delivery {
            Delivery::Chunk { first_index, changes, last, end_lsn, commit_lsn, xid, .. } => {
                assert_eq!((commit_lsn, xid), (Lsn::new(100), 7));
                (first_index, changes.len(), last, end_lsn.get())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(parts, [(0, 3, false, 100), (3, 3, false, 100), (6, 1, true, 150)]);
}

#[test]
fn a_change_larger_than_a_chunk_is_a_chunk_of_its_own() {
    let mut bench = Bench::new(1_000);
    bench.push(begin(100));
    for text in ["small", &"x".repeat(5_000), "small"] {
        bench.push(insert(text));
    }
    bench.push(commit(100));
    assert_eq!(bench.deliveries().len(), 3);
}

#[test]
fn values_left_out_are_filled_from_a_full_old_image() {
    let mut bench = Bench::new(10_000);
    bench.push(begin(100));
    let old = OldTuple::Full(tuple(&[Datum::Text(b"1"), Datum::Text(b"large")]));
    bench.push(update(Some(old), &[Datum::Text(b"2"), Datum::Unchanged]));
    bench.push(commit(100));
    let change = only_row(&mut bench);
    let new = change.operation.new().cloned().expect("an update");
    assert_eq!(new.columns().collect::<Vec<_>>(), [Datum::Text(b"2"), Datum::Text(b"large")]);
}

#[test]
fn from_a_key_only_the_key_is_filled_and_other_values_stay_unchanged() {
    let mut bench = Bench::new(10_000);
    bench.push(begin(100));
    let old = OldTuple::Key(tuple(&[Datum::Text(b"1"), Datum::Null]));
    bench.push(update(Some(old), &[Datum::Unchanged, Datum::Unchanged]));
    bench.push(commit(100));
    let change = only_row(&mut bench);
    let new = change.operation.new().cloned().expect("an update");
    assert_eq!(new.columns().collect::<Vec<_>>(), [Datum::Text(b"1"), Datum::Unchanged]);
    assert!(matches!(change.operation.old(), Some(Image::Key(_))));
}

#[test]
fn an_update_without_an_old_image_keeps_its_unchanged_values() {
    let mut bench = Bench::new(10_000);
    bench.push(begin(100));
    bench.push(update(None, &[Datum::Text(b"1"), Datum::Unchanged]));
    bench.push(commit(100));
    let change = only_row(&mut bench);
    assert_eq!(
        change.operation.new().and_then(|new| new.get(1).map(|datum| datum == Datum::Unchanged)),
        Some(true)
    );
    assert_eq!(change.operation.old(), None);
}

#[test]
fn truncate_is_one_change_a_table_and_events_keep_their_place() {
    let mut bench = Bench::new(10_000);
    let mut other = relation(&[("id", true)]);
    other.oid = 5;
    bench.push(Message::Relation(other));
    bench.push(begin(100));
    bench.push(insert("1"));
    bench.push(emitted("tidegate:deploys", "{\"ok\":true}"));
    bench.push(Message::Truncate { relations: vec![OID, 5], cascade: true, restart_identity: false });
    bench.push(emitted("tidegate.schema", ""));
    bench.push(commit(100));
    let deliveries = bench.deliveries();
    let [Delivery::Chunk { changes, .. }] = &deliveries[..] else { panic!("{deliveries:?}") };
    assert!(matches!(
        &changes[..],
        [Change::Row(_), Change::Event(_), Change::Truncate(first), Change::Truncate(second), Change::Schema]
            if first.oid == OID && second.oid == 5
    ));
}

#[test]
fn each_token_is_a_mark_of_its_own() {
    let mut bench = Bench::new(10_000);
    bench.push(begin(100));
    bench.push(emitted("tidegate.mark", "3"));
    bench.push(emitted("tidegate.mark", "4"));
    bench.push(commit(100));
    assert_eq!(bench.deliveries(), [mark(100, 150, Some(3)), mark(100, 150, Some(4))]);
}

#[test]
fn a_mark_among_rows_comes_behind_them_and_before_the_next_commit() {
    let mut bench = Bench::new(10_000);
    bench.push(begin(100));
    bench.push(emitted("tidegate.mark", "3"));
    bench.push(insert("1"));
    bench.push(commit(100));
    let deliveries = bench.deliveries();
    assert!(matches!(deliveries[0], Delivery::Chunk { last: true, .. }));
    assert_eq!(deliveries[1..], [mark(149, 150, Some(3))]);
}

#[test]
fn empty_transactions_and_heartbeats_coalesce_into_the_last_position() {
    let mut bench = Bench::new(10_000);
    for lsn in [100, 200] {
        bench.push(begin(lsn));
        bench.push(commit(lsn));
    }
    bench.push(begin(300));
    bench.push(emitted("tidegate.mark", ""));
    bench.push(commit(300));
    assert_eq!(bench.deliveries(), []);
    assert_eq!(bench.assembler.take_passed(Lsn::ZERO), Some(mark(300, 350, None)));
    assert_eq!(bench.assembler.take_passed(Lsn::ZERO), None);
    bench.assembler.pass(Lsn::new(400));
    assert_eq!(bench.assembler.take_passed(Lsn::ZERO), Some(mark(399, 400, None)));
    bench.assembler.pass(Lsn::new(400));
    assert_eq!(bench.assembler.take_passed(Lsn::new(400)), None, "told already");
}

#[test]
fn a_delivery_replaces_the_position_passed_before_it() {
    let mut bench = Bench::new(10_000);
    bench.assembler.pass(Lsn::new(90));
    bench.push(begin(100));
    bench.assembler.pass(Lsn::new(95));
    bench.push(insert("1"));
    bench.push(commit(100));
    assert!(!bench.assembler.has_passed());
}

#[test]
fn equal_descriptions_are_one_and_others_are_not() {
    let mut bench = Bench::new(10_000);
    bench.push(begin(100));
    bench.push(insert("1"));
    bench.push(Message::Relation(relation(&[("id", true), ("body", false)])));
    bench.push(insert("2"));
    bench.push(Message::Relation(relation(&[("id", true), ("renamed", false)])));
    bench.push(insert("3"));
    bench.push(commit(100));
    let deliveries = bench.deliveries();
    let [Delivery::Chunk { changes, .. }] = &deliveries[..] else { panic!("{deliveries:?}") };
    let [Change::Row(first), Change::Row(second), Change::Row(third)] = &changes[..] else { panic!() };
    assert!(Arc::ptr_eq(&first.relation, &second.relation));
    assert_eq!(&*third.relation.columns[1].name, "renamed");
}

#[test]
fn messages_that_contradict_each_other_are_refused() {
    let mut bench = Bench::new(10_000);
    assert_eq!(bench.refused(insert("1")), "the stream is out of order: a change outside a transaction");
    assert_eq!(
        bench.refused(commit(100)),
        "the stream is out of order: a transaction ends that has not started"
    );
    bench.push(begin(100));
    assert_eq!(bench.refused(begin(100)), "the stream is out of order: a transaction starts inside another");
    let stranger = Message::Insert { relation: 9, new: tuple(&[]) };
    assert_eq!(bench.refused(stranger), "a row of relation 9, which was never described");
    let short = Message::Insert { relation: OID, new: tuple(&[Datum::Null]) };
    assert_eq!(bench.refused(short), "a row of `public.entries` has 1 columns, and its description 2");
    let mut bench = Bench::new(10_000);
    bench.push(begin(100));
    assert!(bench.refused(commit(101)).ends_with("a transaction ends elsewhere than its start said"));
}
