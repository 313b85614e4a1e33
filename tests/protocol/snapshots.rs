use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidegate::event::Cursor;

use super::{all, ids, next, ops, resume, snapshot};
use crate::client::Client;
use crate::fixture::{Database, eventually, private, scenario};
use crate::server::Server;
use crate::stage::{spawn, staged};

#[test]
fn a_snapshot_has_its_order_and_limit_and_changes_cover_every_match() {
    staged(&[], async |_, stage| {
        stage
            .database
            .execute("insert into entries select n, n % 3, 'entry ' || n from generate_series(1, 30) n")
            .await;
        let fields = json!({"id": "feed", "table": "entries", "where": "board_id <> $1", "params": [0],
            "columns": ["board_id"], "snapshot": {"order_by": "board_id desc, id", "limit": 12}});
        let (mut client, subscribed) = stage.subscribed(fields).await;
        assert!(subscribed.get("cursor").is_none(), "a snapshot's cursor comes at its end");
        let (rows, last) = snapshot(&mut client).await;
        assert_eq!(ids(&rows), ["2", "5", "8", "11", "14", "17", "20", "23", "26", "29", "1", "4"]);
        assert_eq!(last["rows"], json!([]));
        stage.database.execute("update entries set board_id = 5 where id in (3, 28)").await;
        let frame = client.expect("changes").await;
        let mut told = ops(&frame);
        told.sort_unstable();
        assert_eq!(told, [("insert", "3"), ("update", "28")]);
    });
}

#[test]
fn a_subscription_resumes_behind_its_snapshot_and_behind_every_later_place() {
    staged(&[], async |_, stage| {
        stage.database.execute("insert into entries select n, 7 from generate_series(1, 5) n").await;
        let fields = json!({"id": "a", "table": "entries", "snapshot": true});
        let (mut client, subscribed) = stage.subscribed(fields).await;
        let (rows, last) = snapshot(&mut client).await;
        assert_eq!(rows.len(), 5);
        let cursor = Cursor::decode(last["cursor"].as_str().expect("a text")).expect("the server's own");
        assert!(cursor.seen.is_some(), "it says what the snapshot had seen");
        client.cut();
        for id in 6..=8 {
            stage.database.execute(&format!("insert into entries values ({id}, 7)")).await;
        }
        let (mut client, again) = stage.subscribed(resume(&subscribed, &last)).await;
        assert!(again["cursor"].is_string(), "let in where it was: {again}");
        let mut places = vec![last];
        for id in ["6", "7", "8"] {
            let frame = next(&mut client).await;
            assert_eq!(ops(&frame), [("insert", id)]);
            places.push(frame);
        }
        for (seen, place) in places.iter().enumerate() {
            let (mut client, _) = stage.subscribed(resume(&subscribed, place)).await;
            let frames = all(stage, &mut client).await;
            let told: Vec<_> = frames.iter().flat_map(ops).map(|(_, id)| id).collect();
            assert_eq!(told, ["6", "7", "8"][seen..], "strictly after the place, exactly once");
        }
    });
}

#[test]
fn equal_snapshots_in_flight_are_read_once() {
    scenario(async |_| {
        // Nobody else commits here: what has come in since a snapshot's moment would be news to who boards it later.
        let cluster = private(&[]);
        let database = Database::create_on(cluster.address()).await;
        database.execute("create table entries (id bigint primary key, board_id int not null)").await;
        database
            .execute("alter table entries replica identity full; insert into entries values (1, 7)")
            .await;
        let server = Server::start(&database).await;
        let before = server.metric("tidegate_snapshot_shared_total").await;
        let held = database.client().await;
        held.batch_execute("begin; lock table entries in access exclusive mode").await.expect("up");
        let mut clients = Vec::new();
        for id in ["a", "b", "c", "d"] {
            // The text differs, the meaning does not.
            let filter = if id < "c" { "board_id = 7" } else { "board_id = $1" };
            let params = if id < "c" { json!([]) } else { json!(["7"]) };
            let mut client = Client::connect(server.address()).await;
            client
                .subscribe(json!({"id": id, "table": "entries", "where": filter, "params": params, "snapshot": true}))
                .await;
            client.expect("subscribed").await;
            clients.push(client);
        }
        assert_eq!(waiting(&database).await, 1, "one reads for all");
        assert!(server.metric("tidegate_snapshot_shared_total").await >= before + 3.0);
        held.batch_execute("commit").await.expect("up");
        for client in &mut clients {
            assert_eq!(ids(&snapshot(client).await.0), ["1"]);
        }
    });
}

#[test]
fn no_more_snapshots_are_open_at_once_than_configured() {
    staged(&[("snapshot.concurrent", "2")], async |_, stage| {
        let held = stage.database.client().await;
        held.batch_execute("begin; lock table entries in access exclusive mode").await.expect("up");
        let mut clients = Vec::new();
        for board in 0..6 {
            let filter = format!("board_id = {board}");
            let fields = json!({"id": "a", "table": "entries", "where": filter, "snapshot": true});
            clients.push(stage.subscribed(fields).await.0);
        }
        eventually("two wait for the lock", async || (waiting(&stage.database).await == 2).then_some(()))
            .await;
        // The others wait for these, and a subscription to another table is not held up by any.
        let (mut other, _) = stage.subscribed(json!({"id": "b", "table": "steady"})).await;
        other.expect("changes").await;
        assert_eq!(waiting(&stage.database).await, 2);
        held.batch_execute("commit").await.expect("up");
        for client in &mut clients {
            snapshot(client).await;
        }
    });
}

/// Sessions that wait for a lock.
async fn waiting(database: &Database) -> i64 {
    let query = "select count(*) from pg_stat_activity
                 where datname = current_database()
                   and application_name = 'tidegate'
                   and wait_event_type = 'Lock'";
    // The statement that takes the lock may still be on its way.
    eventually("somebody waits", async || Some(database.number(query).await).filter(|count| *count > 0)).await
}

#[test]
fn pages_have_neither_gaps_nor_ghosts_while_rows_come_and_go() {
    staged(&[], async |_, stage| {
        stage
            .database
            .execute("insert into entries select n, n % 7, 'x' from generate_series(1, 400) n")
            .await;
        let feed = json!({"id": "feed", "table": "entries", "columns": ["board_id"],
            "snapshot": {"order_by": "board_id desc nulls last", "limit": 20}});
        let (mut client, _) = stage.subscribed(feed).await;
        let (rows, _) = snapshot(&mut client).await;
        let row = |row: &Value| (row["id"].as_str().expect("a key").to_owned(), row.clone());
        let mut held: BTreeMap<_, _> = rows.iter().map(row).collect();
        let mut after = json!({"board_id": rows[19]["board_id"], "id": rows[19]["id"]});
        let writer = stage.database.client().await;
        let noise = spawn(async move {
            for n in 1..=150 {
                let sql = match n % 3 {
                    0 => format!("delete from entries where id = {}", n * 2),
                    1 => format!("update entries set board_id = {} where id = {}", n % 9, 401 - n),
                    _ => format!("insert into entries values ({}, {})", 1_000 + n, n % 7),
                };
                writer.batch_execute(&sql).await.expect("up");
            }
        });
        loop {
            client.send(&json!({"type": "page", "id": "feed", "after": after, "limit": 30})).await;
            let page = loop {
                let frame = next(&mut client).await;
                if frame["type"] == "page" {
                    break frame;
                }
                apply(&mut held, &frame);
            };
            let rows = page["rows"].as_array().expect("rows");
            held.extend(rows.iter().map(row));
            match rows.last().filter(|_| page["last"] == false) {
                Some(last) => after = json!({"board_id": last["board_id"], "id": last["id"]}),
                None => break,
            }
        }
        noise.await.expect("no panic");
        for frame in all(stage, &mut client).await {
            apply(&mut held, &frame);
        }
        let query = "select id::text, board_id from entries";
        let rows = stage.database.client().await.query(query, &[]).await.expect("up");
        let table: BTreeMap<String, Value> = rows
            .iter()
            .map(|row| {
                let (id, board): (&str, i32) = (row.get(0), row.get(1));
                (id.to_owned(), json!({"id": id, "board_id": board}))
            })
            .collect();
        let ghosts: Vec<_> = held.keys().filter(|id| !table.contains_key(*id)).collect();
        assert!(ghosts.is_empty(), "rows that are gone: {ghosts:?}");
        // A row that moved forward in the order while older ones were read came as a change, so nothing is lacking.
        let gaps: Vec<_> = table.iter().filter(|(id, row)| held.get(*id) != Some(row)).collect();
        assert!(gaps.is_empty(), "rows that are lacking or old: {gaps:?}");
    });
}

/// As the protocol has it for bounded snapshots: what comes is kept, what goes may not be held.
fn apply(held: &mut BTreeMap<String, Value>, frame: &Value) {
    for change in frame["changes"].as_array().into_iter().flatten() {
        match change.get("row") {
            Some(row) => _ = held.insert(row["id"].as_str().expect("a key").to_owned(), row.clone()),
            None => _ = held.remove(change["key"]["id"].as_str().expect("a key")),
        }
    }
}

#[test]
fn unsubscribing_ends_a_subscription_in_every_state() {
    staged(&[("snapshot.chunk_bytes", "1024")], async |_, stage| {
        stage
            .database
            .execute("insert into entries select n, 7, repeat('x', 500) from generate_series(1, 500) n")
            .await;
        let held = stage.database.client().await;
        for state in ["opening", "waiting for its rows", "in its snapshot", "live", "catching up"] {
            let mut client = stage.client().await;
            let snapshot_wanted = !matches!(state, "live" | "catching up");
            if state == "waiting for its rows" {
                held.batch_execute("begin; lock table entries in access exclusive mode").await.expect("up");
            }
            client.subscribe(json!({"id": "a", "table": "entries", "snapshot": snapshot_wanted})).await;
            match state {
                "opening" => {}
                "waiting for its rows" | "live" => _ = client.expect("subscribed").await,
                "in its snapshot" => {
                    client.expect("subscribed").await;
                    client.expect("snapshot").await;
                }
                _ => {
                    let subscribed = client.expect("subscribed").await;
                    client.send(&json!({"type": "unsubscribe", "id": "a"})).await;
                    client.expect("unsubscribed").await;
                    stage.database.execute("update entries set board_id = board_id + 1").await;
                    client.subscribe(resume(&subscribed, &subscribed)).await;
                }
            }
            client.send(&json!({"type": "unsubscribe", "id": "a"})).await;
            while next(&mut client).await["type"] != "unsubscribed" {}
            if state == "waiting for its rows" {
                held.batch_execute("commit").await.expect("up");
            }
            stage.database.execute("update entries set status = 'seen' where id = 1").await;
            assert_eq!(
                all(stage, &mut client).await,
                Vec::<Value>::new(),
                "silent after it ended while {state}"
            );
            // Its name is free.
            client.subscribe(json!({"id": "a", "table": "entries"})).await;
            client.expect("subscribed").await;
            stage.database.execute("update entries set status = 'heard' where id = 1").await;
            assert_eq!(client.expect("changes").await["id"], "a");
        }
    });
}
