//! Events that a transaction emits on a channel.

use serde_json::{Value, json};

use super::Live;
use crate::client::Client;
use crate::fixture::scenario;
use crate::server::Server;

#[test]
fn events_of_a_transaction_come_with_its_commit_and_between_its_neighbours_rows() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute("create table builds (id int primary key)").await;
        let server = Server::start(&database).await;
        let mut client = Client::connect(server.address()).await;
        client.subscribe(json!({"id": "rows", "table": "builds"})).await;
        client.expect("subscribed").await;
        client.subscribe(json!({"id": "events", "channel": "deploys.eu"})).await;
        client.expect("subscribed").await;
        for n in 1..=3 {
            database
                .execute(&format!(
                    "begin; insert into builds values ({n});
                     select pg_logical_emit_message(true, 'tidegate:deploys.eu', '{{\"n\": {n}, \"part\": 1}}');
                     select pg_logical_emit_message(true, 'tidegate:deploys.us', '{{\"n\": {n}}}');
                     select pg_logical_emit_message(true, 'tidegate:deploys.eu', '{{\"n\": {n}, \"part\": 2}}');
                     commit;
                     begin;
                     select pg_logical_emit_message(true, 'tidegate:deploys.eu', '{{\"n\": 0}}');
                     rollback;"
                ))
                .await;
        }
        let mut told: Vec<(u64, &str)> = Vec::new();
        let mut lsns = Vec::new();
        while told.len() < 6 {
            let frame = client.next().await.expect("the connection lives");
            let parts = |event: &Value| (event["data"]["n"].as_u64(), event["data"]["part"].as_u64());
            match frame["type"].as_str() {
                Some("changes") => {
                    told.push((frame["changes"][0]["row"]["id"].as_u64().expect("a number"), "row"));
                    lsns.push(frame["lsn"].as_str().expect("a position").to_owned());
                }
                Some("events") => {
                    let events: Vec<_> =
                        frame["events"].as_array().expect("a list").iter().map(parts).collect();
                    let n = events[0].0.expect("a number");
                    assert_eq!(events, [(Some(n), Some(1)), (Some(n), Some(2))]);
                    told.push((n, "events"));
                }
                _ => {}
            }
        }
        for (n, pair) in (1..).zip(told.chunks(2)) {
            assert!(pair.iter().all(|(of, _)| *of == n), "one transaction after the other: {told:?}");
            assert_ne!(pair[0].1, pair[1].1);
        }
    });
}

#[test]
fn what_is_no_json_is_left_out_and_disturbs_nothing_else() {
    scenario(async |test| {
        test.expect_in_log("left out a message of `pg_logical_emit_message`");
        let database = test.database().await;
        database.execute("create table builds (id int primary key)").await;
        let server = Server::start(&database).await;
        let mut builds = Live::table(&server, "builds").await;
        let mut channel = Live::channel(&server, "deploys").await;
        let metric = "tidegate_source_bad_events_total{reason=\"not_json\"}";
        let before = server.metric(metric).await;
        database
            .execute(
                "begin; insert into builds values (1);
                 select pg_logical_emit_message(true, 'tidegate:deploys', '{not json');
                 select pg_logical_emit_message(true, 'tidegate:deploys', '{\"good\": true}');
                 select pg_logical_emit_message(true, 'elsewhere', '{not json');
                 commit",
            )
            .await;
        builds.settle(&database).await;
        channel.settle(&database).await;
        assert_eq!(builds.shown(&["id"]), "1");
        assert_eq!(channel.types(), ["events"]);
        let events = channel.seen[0]["events"].as_array().expect("a list");
        assert_eq!((events.len(), &events[0]["data"]), (1, &json!({"good": true})));
        assert!(server.metric(metric).await > before);
        assert!(test.logged("left out a message of `pg_logical_emit_message`"));
    });
}
