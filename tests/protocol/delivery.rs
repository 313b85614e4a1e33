use serde_json::{Value, json};

use super::{all, ids, next, ops, position, snapshot};
use crate::stage::staged;

#[test]
fn live_from_now_tells_what_is_committed_from_now_on() {
    staged(&[], async |_, stage| {
        let (mut client, subscribed) = stage.subscribed(json!({"id": "a", "table": "public.entries"})).await;
        assert_eq!(subscribed["key"], json!(["id"]));
        assert_eq!(subscribed["columns"][1], json!({"name": "board_id", "type": "int4", "nullable": false}));
        assert!(subscribed["cursor"].is_string() && subscribed["shape"].is_string(), "{subscribed}");
        let writer = stage.database.client().await;
        let xid = writer.query_one("select pg_current_xact_id()::xid::text", &[]).await.expect("up");
        let _: &str = xid.get(0);
        writer.batch_execute("begin; insert into entries values (1, 7, 'a')").await.expect("up");
        let row = writer.query_one("select pg_current_xact_id()::xid::text", &[]).await.expect("up");
        let xid: String = row.get(0);
        writer.batch_execute("commit").await.expect("up");
        let insert = client.expect("changes").await;
        let row =
            json!({"id": "1", "board_id": 7, "title": "a", "status": "open", "meta": null, "tags": null});
        assert_eq!(insert["changes"], json!([{"op": "insert", "row": row}]));
        assert_eq!((&insert["tx"]["id"], &insert["tx"]["last"]), (&json!(xid), &json!(true)));
        assert!(insert["tx"]["committed_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{insert}");
        assert!(insert["cursor"].is_string());
        stage.database.execute("update entries set status = 'done', tags = '{x,\"y z\"}'").await;
        let update = client.expect("changes").await;
        assert_eq!(update["changes"][0]["changed"], json!(["status", "tags"]));
        assert_eq!(update["changes"][0]["row"]["tags"], json!(["x", "y z"]));
        assert!(position(&update) > position(&insert));
        stage.database.execute("delete from entries").await;
        assert_eq!(client.expect("changes").await["changes"], json!([{"op": "delete", "key": {"id": "1"}}]));
    });
}

#[test]
fn a_transaction_is_told_as_its_net_changes_each_key_once() {
    staged(&[], async |_, stage| {
        stage.database.execute("insert into entries values (1, 7, 'a'), (2, 7, 'b'), (3, 7, 'c')").await;
        let (mut client, _) = stage.subscribed(json!({"id": "a", "table": "entries"})).await;
        all(stage, &mut client).await;
        stage
            .database
            .execute(
                "begin;
                 insert into entries values (4, 7, 'new'); update entries set title = 'newer' where id = 4;
                 insert into entries values (5, 7, 'void'); delete from entries where id = 5;
                 update entries set title = 'x' where id = 1; update entries set title = 'y' where id = 1;
                 savepoint s; delete from entries where id = 2; rollback to s;
                 delete from entries where id = 3; insert into entries values (3, 8, 'again');
                 commit",
            )
            .await;
        let frame = client.expect("changes").await;
        let mut told = ops(&frame);
        told.sort_unstable();
        assert_eq!(told, [("insert", "4"), ("update", "1"), ("update", "3")]);
        let title = |id: &str| {
            let changes = frame["changes"].as_array().expect("changes");
            changes
                .iter()
                .find(|change| change["row"]["id"] == id)
                .map(|change| change["row"]["title"].clone())
        };
        assert_eq!(
            (title("4"), title("1"), title("3")),
            (Some(json!("newer")), Some(json!("y")), Some(json!("again")))
        );
        // Rolled back, or without effect here: nothing.
        stage.database.execute("begin; delete from entries; rollback").await;
        stage
            .database
            .execute("begin; insert into entries values (9, 7); delete from entries where id = 9; commit")
            .await;
        assert_eq!(all(stage, &mut client).await, Vec::<Value>::new());
    });
}

#[test]
fn rows_enter_and_leave_a_filter_and_a_changed_key_is_delete_and_insert() {
    staged(&[], async |_, stage| {
        stage.database.execute("insert into entries values (1, 7), (2, 8)").await;
        let fields = json!({"id": "a", "table": "entries", "where": "board_id = 7", "columns": ["title"]});
        let (mut client, subscribed) = stage.subscribed(fields).await;
        let names: Vec<_> =
            subscribed["columns"].as_array().expect("columns").iter().map(|it| &it["name"]).collect();
        assert_eq!(names, ["id", "title"], "the key comes along");
        all(stage, &mut client).await;
        for (sql, expected) in [
            ("update entries set board_id = 7 where id = 2", &[("insert", "2")][..]),
            ("update entries set title = 'x' where id = 2", &[("update", "2")]),
            ("update entries set board_id = 9 where id = 1", &[("delete", "1")]),
            ("update entries set id = 20 where id = 2", &[("delete", "2"), ("insert", "20")]),
            ("update entries set id = 21, board_id = 9 where id = 20", &[("delete", "20")]),
        ] {
            stage.database.execute(sql).await;
            let frame = client.expect("changes").await;
            let mut told = ops(&frame);
            told.sort_unstable();
            assert_eq!(told, expected, "{sql}: {frame}");
        }
        stage.database.execute("update entries set title = 'unseen' where id = 1").await;
        stage.database.execute("update entries set board_id = 7, status = 'b' where id = 21").await;
        stage.database.execute("update entries set status = 'c' where id = 21").await;
        assert_eq!(ops(&client.expect("changes").await), [("insert", "21")]);
        let frame = client.expect("changes").await;
        assert_eq!(frame["changes"][0]["changed"], json!([]), "only columns that were asked for: {frame}");
    });
}

#[test]
fn large_values_left_out_of_the_log_are_named_as_unchanged() {
    staged(&[], async |_, stage| {
        stage
            .database
            .execute(
                "create table documents (id int primary key, n int, body text);
                 alter table documents alter body set storage external;
                 insert into documents values (1, 0, repeat('x', 20000))",
            )
            .await;
        let (mut client, _) = stage.subscribed(json!({"id": "a", "table": "documents"})).await;
        all(stage, &mut client).await;
        stage.database.execute("update documents set n = 1").await;
        let change = client.expect("changes").await["changes"][0].clone();
        assert_eq!(change, json!({"op": "update", "row": {"id": 1, "n": 1}, "unchanged": ["body"]}));
        stage.database.execute("alter table documents replica identity full").await;
        // The identity is part of what a subscription was told: it starts over.
        assert_eq!(client.expect("resync").await["reason"], "schema_changed");
        client.expect("subscribed").await;
        stage.database.execute("update documents set n = 2").await;
        let change = client.expect("changes").await["changes"][0].clone();
        assert_eq!((&change["changed"], change.get("unchanged")), (&json!(["n"]), None));
        assert_eq!(change["row"]["body"].as_str().map(str::len), Some(20_000));
    });
}

#[test]
fn a_truncate_is_told_and_what_its_transaction_inserts_after_it() {
    staged(&[], async |_, stage| {
        stage.database.execute("insert into entries values (1, 7)").await;
        let (mut client, _) =
            stage.subscribed(json!({"id": "a", "table": "entries", "where": "board_id = 7"})).await;
        all(stage, &mut client).await;
        stage.database.execute("truncate entries").await;
        let frame = client.expect("truncate").await;
        assert!(frame["cursor"].is_string() && frame["id"] == "a", "{frame}");
        stage.database.execute("begin; insert into entries values (2, 7); truncate entries; insert into entries values (3, 7); commit").await;
        let frame = client.expect("truncate").await;
        assert!(frame.get("cursor").is_none(), "its transaction goes on: {frame}");
        assert_eq!(ops(&client.expect("changes").await), [("insert", "3")]);
    });
}

#[test]
fn a_large_transaction_comes_in_frames_of_which_only_the_last_has_a_cursor() {
    staged(&[("session.frame_bytes", "4096")], async |_, stage| {
        let (mut client, _) = stage.subscribed(json!({"id": "a", "table": "entries"})).await;
        stage
            .database
            .execute("insert into entries select n, 7, repeat('x', 100) from generate_series(1, 300) n")
            .await;
        let (mut frames, mut rows) = (0, 0);
        loop {
            let frame = client.expect("changes").await;
            rows += ops(&frame).len();
            frames += 1;
            assert!(frame.to_string().len() < 6_000, "a frame of about 4 kB");
            assert_eq!(frame.get("cursor").is_some(), frame["tx"]["last"] == true, "{frame}");
            if frame["tx"]["last"] == true {
                break;
            }
        }
        assert!(frames > 5 && rows == 300, "{rows} rows in {frames} frames");
    });
}

#[test]
fn latest_tells_the_newest_value_of_each_key_once_an_interval() {
    staged(&[], async |_, stage| {
        let fields = json!({"id": "kpi", "table": "entries", "delivery": "latest", "interval_ms": 1000});
        stage.database.execute("insert into entries values (1, 0), (2, 0)").await;
        let (mut client, _) = stage.subscribed(fields).await;
        all(stage, &mut client).await;
        let writer = stage.database.client().await;
        for n in 1..=300 {
            writer
                .batch_execute(&format!("update entries set board_id = {n} where id = 1"))
                .await
                .expect("up");
        }
        let (mut frames, mut last) = (0, json!(0));
        while last != 300 {
            let frame = next(&mut client).await;
            assert_eq!((&frame["type"], frame.get("tx")), (&json!("changes"), None), "{frame}");
            assert_eq!(ops(&frame), [("update", "1")], "a key once");
            let value = frame["changes"][0]["row"]["board_id"].clone();
            assert!(value.as_i64() > last.as_i64(), "newer and newer");
            last = value;
            frames += 1;
        }
        assert!(frames <= 5, "{frames} frames of 300 changes");
        // Gone again before its time: nothing was there.
        writer.batch_execute("insert into entries values (3, 0)").await.expect("up");
        writer.batch_execute("delete from entries where id = 3").await.expect("up");
        let told: Vec<_> = all(stage, &mut client).await;
        let net: i32 = told.iter().flat_map(ops).map(|(op, _)| if op == "insert" { 1 } else { -1 }).sum();
        assert_eq!(net, 0, "{told:?}");
    });
}

#[test]
fn who_joins_a_conflated_shape_in_mid_interval_is_told_of_what_goes_away_after() {
    staged(&[], async |_, stage| {
        stage.database.execute("insert into entries values (1, 0), (4, 0)").await;
        let fields = |id: &str| json!({"id": id, "table": "entries", "delivery": "latest", "interval_ms": 2000, "snapshot": true});
        let mut first = stage.subscribed(fields("first")).await.0;
        snapshot(&mut first).await;
        stage.database.execute("update entries set board_id = 1 where id = 1").await;
        assert_eq!(ops(&next(&mut first).await), [("update", "1")], "the first one at once");
        // From here on everything is withheld for two seconds.
        stage.database.execute("insert into entries values (2, 0), (3, 0)").await;
        stage.database.execute("delete from entries where id = 4").await;
        let mut second = stage.subscribed(fields("second")).await.0;
        let (rows, _) = snapshot(&mut second).await;
        let mut held = ids(&rows);
        held.sort_unstable();
        assert_eq!(held, ["1", "2", "3"]);
        stage.database.execute("delete from entries where id = 2").await;
        stage.database.execute("insert into entries values (4, 9)").await;
        let mut third = stage.subscribed(fields("third")).await.0;
        let (rows, _) = snapshot(&mut third).await;
        assert_eq!(rows.len(), 3);
        stage.database.execute("delete from entries where id = 3").await;
        for (client, expected) in [
            (&mut first, &[("update", "4")][..]),
            (&mut second, &[("delete", "2"), ("delete", "3"), ("insert", "4")][..]),
            (&mut third, &[("delete", "3")][..]),
        ] {
            let frame = next(client).await;
            let mut told = ops(&frame);
            told.sort_unstable();
            assert_eq!(told, expected, "{frame}");
        }
    });
}

#[test]
fn progress_and_reached_wait_for_what_latest_withholds() {
    let settings = [("session.heartbeat_ms", "100"), ("session.idle_timeout_ms", "60000")];
    staged(&settings, async |_, stage| {
        let fields = json!({"id": "kpi", "table": "entries", "delivery": "latest", "interval_ms": 1500});
        let (mut client, _) = stage.subscribed(fields).await;
        stage.database.execute("insert into entries values (1, 0)").await;
        assert_eq!(next(&mut client).await["type"], "changes", "the first one at once");
        stage.database.execute("update entries set board_id = 1").await;
        let lsn = stage.lsn().await;
        client.send(&json!({"type": "await", "lsn": lsn.to_string()})).await;
        let mut told = false;
        loop {
            let frame = client.next().await.expect("alive");
            match frame["type"].as_str().expect("a type") {
                "progress" => assert!(told || position(&frame) < lsn, "beyond what is owed: {frame}"),
                "changes" => told = true,
                "reached" => break,
                _ => panic!("{frame}"),
            }
        }
        assert!(told, "reached before what was withheld");
    });
}

#[test]
fn progress_moves_a_quiet_subscriptions_place() {
    let settings = [("session.heartbeat_ms", "100"), ("session.idle_timeout_ms", "60000")];
    staged(&settings, async |_, stage| {
        let (mut client, subscribed) = stage.subscribed(json!({"id": "a", "table": "entries"})).await;
        let first = client.expect("progress").await;
        let second = client.expect("progress").await;
        assert!(position(&second) >= position(&first));
        assert_ne!(second["cursor"], subscribed["cursor"]);
        drop(client);
        stage.database.execute("insert into entries values (1, 7)").await;
        let (mut client, _) = stage.subscribed(super::resume(&subscribed, &second)).await;
        assert_eq!(ops(&next(&mut client).await), [("insert", "1")]);
    });
}

#[test]
fn await_is_answered_behind_ones_own_commit_also_where_nothing_is_subscribed() {
    staged(&[], async |_, stage| {
        let mut idle = stage.client().await;
        let (mut client, _) = stage.subscribed(json!({"id": "a", "table": "entries"})).await;
        let writer = stage.database.client().await;
        for id in 0..20 {
            writer.batch_execute(&format!("insert into entries values ({id}, 7)")).await.expect("up");
            let frames = all(stage, &mut client).await;
            assert_eq!(frames.iter().flat_map(ops).collect::<Vec<_>>(), [("insert", &*id.to_string())]);
        }
        assert_eq!(all(stage, &mut idle).await, Vec::<Value>::new());
        idle.send(&json!({"type": "await", "lsn": "0/0"})).await;
        assert_eq!(idle.expect("reached").await["lsn"], "0/0");
    });
}

#[test]
fn a_channel_carries_cloud_events_in_the_order_of_their_transaction() {
    staged(&[], async |test, stage| {
        test.expect_in_log("JSON");
        let (mut client, subscribed) =
            stage.subscribed(json!({"id": "deploys", "channel": "deploys.eu"})).await;
        assert!(subscribed["cursor"].is_string() && subscribed.get("columns").is_none(), "{subscribed}");
        stage
            .database
            .execute(
                "begin;
                 select pg_logical_emit_message(true, 'tidegate:deploys.eu', '{\"n\": 1}');
                 insert into entries values (1, 7);
                 select pg_logical_emit_message(true, 'tidegate:deploys.us', '2');
                 select pg_logical_emit_message(true, 'tidegate:deploys.eu', '[3]');
                 commit;
                 begin; select pg_logical_emit_message(true, 'tidegate:deploys.eu', '4'); rollback;
                 select pg_logical_emit_message(true, 'tidegate:deploys.eu', 'not json');
                 select pg_logical_emit_message(true, 'elsewhere', '5')",
            )
            .await;
        let frame = client.expect("events").await;
        let events = frame["events"].as_array().expect("events");
        let data: Vec<_> = events.iter().map(|event| &event["data"]).collect();
        assert_eq!(data, [&json!({"n": 1}), &json!([3])]);
        for event in events {
            for (name, value) in [
                ("specversion", "1.0"),
                ("subject", "deploys.eu"),
                ("type", "tidegate.message"),
                ("datacontenttype", "application/json"),
            ] {
                assert_eq!(event[name], value, "{event}");
            }
            assert!(event["source"].is_string() && event["time"].is_string(), "{event}");
        }
        assert_ne!(events[0]["id"], events[1]["id"]);
        assert_eq!(all(stage, &mut client).await, Vec::<Value>::new());
        drop(client);
        stage.database.execute("select pg_logical_emit_message(true, 'tidegate:deploys.eu', '6')").await;
        let again = json!({"id": "deploys", "channel": "deploys.eu", "cursor": frame["cursor"]});
        let (mut client, _) = stage.subscribed(again).await;
        assert_eq!(client.expect("events").await["events"][0]["data"], 6);
    });
}
