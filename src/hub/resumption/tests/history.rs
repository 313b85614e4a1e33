//! Histories at random, of a few tables with a few rows each, and who looks at them.

use std::sync::Arc;

use crate::event::{
    Change, ChannelEvent, Chunk, EventForm, Image, Lsn, Mark, Operation, Position, Record, Relation, Row,
    RowChange, Table, TableName, Timestamp, Xid,
};
use crate::filter::{self, Filter};
use crate::hub::fixture;
use crate::hub::{Projection, Rows, Selection};
use crate::policy::{Grants, Guard, Visibility};
use crate::protocol::Delivery;

/// Records in a row, and where transactions end among them; first where it begins.
pub(super) struct History {
    pub(super) records: Vec<Arc<Record>>,
    pub(super) ends: Vec<Position>,
}

/// Three tables of the same columns: two that are looked at, one that rights depend on.
fn table(number: u32) -> Table {
    let table = fixture::table();
    Table { oid: table.oid + number, name: TableName::new("public", &format!("t{number}")), ..table }
}

impl History {
    pub(super) fn generate(random: &mut fastrand::Rng, from: Position, transactions: u64) -> Self {
        let relations: Vec<_> = (0..3).map(|number| fixture::relation(&table(number))).collect();
        let (mut records, mut ends) = (Vec::new(), vec![from]);
        for number in from.commit_lsn.get() + 1..=from.commit_lsn.get() + transactions {
            let previous = *ends.last().expect("one at least");
            let commit_lsn = Lsn::new(number);
            if random.u8(..8) == 0 {
                records.push(Arc::new(Record::Mark(Mark { previous, commit_lsn, index: 1, token: None })));
            } else {
                let parts = if random.u8(..4) == 0 { random.u32(2..5) } else { 1 };
                transaction(random, &relations, (previous, number), parts, &mut records);
            }
            ends.push(records.last().expect("one at least").end());
        }
        Self { records, ends }
    }
}

fn transaction(
    random: &mut fastrand::Rng,
    relations: &[Arc<Relation>],
    (mut previous, number): (Position, u64),
    parts: u32,
    records: &mut Vec<Arc<Record>>,
) {
    let mut first_index = 0;
    // Most touch one table; what rights depend on is touched rarely.
    let tables = if random.u8(..6) == 0 { 0..relations.len() } else { 0..random.usize(1..3) };
    for part in 0..parts {
        let most = if random.u8(..10) == 0 { 40 } else { 5 };
        let count = random.usize(1..most);
        let mut one = || {
            let relation = &relations[random.usize(tables.clone())];
            change(random, relation)
        };
        let changes = (0..count).map(|_| one()).collect();
        let chunk = Chunk {
            previous,
            commit_lsn: Lsn::new(number),
            xid: Xid::new(number),
            committed_at: Timestamp::new(i64::try_from(number).expect("small")),
            first_index,
            changes,
            last: part + 1 == parts,
        };
        previous = chunk.end();
        first_index = previous.index;
        records.push(Arc::new(Record::Chunk(chunk)));
    }
}

fn change(random: &mut fastrand::Rng, relation: &Arc<Relation>) -> Change {
    let row = |random: &mut fastrand::Rng| {
        // Now and then what no filter can read, or what the stream leaves out.
        let id = if random.u16(..600) == 0 { "x".to_owned() } else { random.u8(1..9).to_string() };
        let body =
            if random.u8(..90) == 0 { "=" } else { ["x", "yyyyyyyyyyyyyyyyyyyy", "-"][random.usize(..3)] };
        fixture::row(&format!("{id} {} {body}", ["a", "b", "c"][random.usize(..3)]))
    };
    let operation = |random: &mut fastrand::Rng| match random.u8(..4) {
        0 => Operation::Insert { new: row(random) },
        1 => Operation::Delete { old: image(random, row) },
        2 => Operation::Update { old: None, new: row(random) },
        _ => Operation::Update { old: Some(image(random, row)), new: row(random) },
    };
    match random.u8(..40) {
        0 => Change::Truncate(relation.clone()),
        1..4 => Change::Event(ChannelEvent {
            channel: ["c", "d"][random.usize(..2)].into(),
            data: "{\"n\":1}".into(),
            form: EventForm::Data,
        }),
        4 => Change::Schema,
        5 if random.u8(..8) == 0 => {
            // As the table was before a column was added.
            let mut former = Relation::clone(relation);
            former.columns = former.columns.iter().take(2).cloned().collect();
            let new = fixture::row("3 a");
            Change::Row(RowChange { relation: Arc::new(former), operation: Operation::Insert { new } })
        }
        _ => Change::Row(RowChange { relation: relation.clone(), operation: operation(random) }),
    }
}

fn image(random: &mut fastrand::Rng, row: impl Fn(&mut fastrand::Rng) -> Row) -> Image {
    let row = row(random);
    if random.bool() { Image::Full(row) } else { Image::Key(row) }
}

/// Who looks: at all, at a part, at another table, conflated, bound by a policy with guards, and at a channel.
pub(super) fn selections() -> Vec<Selection> {
    let every = Delivery::Every;
    let rows = |number, text: &str, delivery, visibility| {
        let table = Arc::new(table(number));
        let filter = (!text.is_empty()).then(|| Arc::new(filter(&table, text)));
        let projection = Arc::new(Projection::new(&table, vec![1, 2]));
        Selection::Rows(Rows::new(table, filter, projection, delivery, visibility))
    };
    vec![
        rows(0, "", every, None),
        rows(0, "name = 'a'", every, None),
        rows(0, "id > 5", every, None),
        rows(1, "name <> 'b'", every, None),
        rows(1, "", Delivery::Latest { interval_ms: 50 }, None),
        rows(0, "", every, Some(visibility(None, &["id = 1"]))),
        rows(1, "id < 7", every, Some(visibility(Some("name <> 'c'"), &["id = 2 and name = 'a'", "id = 3"]))),
        rows(1, "id < 7", every, Some(visibility(Some("name <> 'c'"), &["id = 4"]))),
        Selection::Channel("c".into()),
    ]
}

fn filter(table: &Table, text: &str) -> Filter {
    let bound = filter::parse(text, &[]).and_then(|parsed| parsed.bind(table)).expect("valid");
    let answers: Vec<String> = bound.unresolved().iter().map(|literal| literal.text.clone()).collect();
    bound.resolve(&answers).expect("answered")
}

fn visibility(policy: Option<&str>, guards: &[&str]) -> Arc<Visibility> {
    let memberships = Arc::new(table(2));
    let guard = |text: &&str| Guard::new(memberships.clone(), Some(filter(&memberships, text)), vec![0, 1]);
    Arc::new(Visibility {
        policy: policy.map(|text| Arc::new(filter(&table(1), text))),
        guards: guards.iter().map(guard).collect(),
        grants: Arc::new(Grants { role: "reader".into(), tables: Vec::new() }),
        search_path: "public".into(),
        proof: Arc::default(),
    })
}
