//! A row reads the same wherever a client meets it: in a snapshot, a change, a page, over a socket and over SSE.

mod raw;
mod values;

use std::fmt::Write as _;

use serde_json::json;

use crate::fixture::{Database, scenario};
use crate::server::Server;

use raw::{Events, Rows, Socket};
use values::{TYPES, VALUES};

/// What a database may say of how values are written, none of which may reach a client.
const ODD_SETTINGS: [(&str, &str); 7] = [
    ("datestyle", "'German, DMY'"),
    ("intervalstyle", "sql_standard"),
    ("timezone", "'Asia/Tokyo'"),
    ("extra_float_digits", "-5"),
    ("bytea_output", "escape"),
    ("search_path", "public, pg_catalog"),
    ("quote_all_identifiers", "on"),
];

/// Makes `public.wide`: for every type a column, one of its arrays, and one of a domain over it.
async fn make(database: &Database) {
    database.execute(TYPES).await;
    for (name, value) in ODD_SETTINGS {
        database.execute(&format!("alter database {} set {name} = {value}", database.name())).await;
    }
    let mut columns = String::from("id int primary key");
    for (index, (name, _)) in VALUES.iter().enumerate() {
        let sql = format!("create domain domain_{index} as {name}");
        database.execute(&sql).await;
        write!(columns, ", one_{index} {name}, many_{index} {name}[], domain_{index} domain_{index}")
            .expect("a String takes all");
    }
    database.execute(&format!("create table wide ({columns}); alter table wide replica identity full")).await;
}

/// Inserts row `id`: of every type its value number `id`, or NULL if it has fewer.
async fn insert(database: &Database, id: usize) {
    let mut values = vec![id.to_string()];
    for (name, texts) in VALUES {
        let literal = |text: &str| format!("'{}'::{name}", text.replace('\'', "''"));
        let one = id.checked_sub(1).and_then(|index| texts.get(index));
        let all: Vec<_> = texts.iter().map(|text| literal(text)).collect();
        let many = match id {
            0 => "null".to_owned(),
            1 => format!("array[{}, null]", all.join(", ")),
            2 => format!("array[array[{0}], array[{0}]]", all[0]),
            3 => format!("'{{}}'::{name}[]"),
            _ => format!("array_fill({}, array[2], array[-3])", all[0]),
        };
        let one = one.map_or("null".to_owned(), |text| literal(text));
        values.extend([one.clone(), many, one]);
    }
    database.execute(&format!("insert into wide values ({})", values.join(", "))).await;
}

/// The rows, by the number of the last one that came.
async fn all(what: &str, last: usize, mut next: impl AsyncFnMut(&mut Rows) -> String) -> Rows {
    let mut rows = Rows::new();
    while !rows.contains_key(&last) {
        let before = rows.len();
        next(&mut rows).await;
        assert!(rows.len() <= last + 1 && rows.len() >= before, "{what}");
    }
    rows
}

#[test]
fn a_row_reads_the_same_in_a_snapshot_a_change_a_page_and_over_sse() {
    scenario(async |test| {
        let database = test.database().await;
        make(&database).await;
        let most = VALUES.iter().map(|(_, texts)| texts.len()).max().expect("there are types");
        let last = most + 1;
        let server = Server::start(&database).await;
        let mut live = Socket::subscribe(&server, json!({"table": "wide", "snapshot": false})).await;
        let mut live_events = Events::open(&server, "table=wide&snapshot=false").await;
        for id in 0..=last {
            insert(&database, id).await;
        }
        let changes = all("changes", last, async |rows| live.read(rows).await).await;
        let over_sse = all("changes over SSE", last, async |rows| live_events.read(rows).await).await;

        let mut again = Socket::subscribe(&server, json!({"table": "wide", "snapshot": true})).await;
        let snapshot = all("a snapshot", last, async |rows| again.read(rows).await).await;
        let mut again = Events::open(&server, "table=wide").await;
        let snapshot_over_sse = all("a snapshot over SSE", last, async |rows| again.read(rows).await).await;
        let first = json!({"table": "wide", "snapshot": {"order_by": "id", "limit": 1}});
        let mut pages = Socket::subscribe(&server, first).await;
        let mut read = all("the first page", 0, async |rows| pages.read(rows).await).await;
        pages.send(&json!({"type": "page", "id": "it", "after": {"id": 0}, "limit": last})).await;
        read.extend(all("a page", last, async |rows| pages.read(rows).await).await);

        // Which update it is says its key; its row says all the rest.
        let mut live = Socket::subscribe(&server, json!({"table": "wide"})).await;
        database.execute("update wide set id = id").await;
        let updated = all("updates", last, async |rows| live.read(rows).await).await;

        assert_eq!(snapshot.len(), last + 1);
        for (id, row) in &snapshot {
            for (what, rows) in [
                ("an insert", &changes),
                ("an insert over SSE", &over_sse),
                ("a snapshot over SSE", &snapshot_over_sse),
                ("a page", &read),
                ("an update", &updated),
            ] {
                assert_eq!(rows.get(id), Some(row), "row {id} in {what}");
            }
        }
        values::check(&snapshot);
    });
}
