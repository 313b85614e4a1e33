use serde_json::json;

use super::{next, ops, resume, snapshot};
use crate::client::Client;
use crate::fixture::scenario;
use crate::server::Server;

#[test]
fn going_away_sends_what_is_owed_and_then_1001() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute("create table entries (id bigint primary key, board_id int)").await;
        let mut server = Server::start(&database).await;
        let mut clients = Vec::new();
        for _ in 0..20 {
            let mut client = Client::connect(server.address()).await;
            client.subscribe(json!({"id": "a", "table": "entries", "snapshot": true})).await;
            client.expect("subscribed").await;
            snapshot(&mut client).await;
            clients.push(client);
        }
        database.execute("insert into entries select n, 7 from generate_series(1, 2000) n").await;
        let lsn = crate::stage::lsn(&database).await;
        clients[0].await_lsn(lsn, |_| {}).await;
        server.stop().await;
        for client in &mut clients[1..] {
            let mut rows = 0;
            let closed = loop {
                match client.next().await {
                    Ok(frame) => rows += ops(&frame).len(),
                    Err(closed) => break closed,
                }
            };
            assert_eq!((closed.code, rows), (Some(1001), 2_000));
        }
        assert!(Client::try_connect(server.address()).await.is_err(), "nobody listens");
    });
}

#[test]
fn a_cursor_of_the_servers_former_life_is_answered_with_source_reset() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute("create table entries (id bigint primary key, board_id int)").await;
        let mut server = Server::start(&database).await;
        let mut client = Client::connect(server.address()).await;
        client.subscribe(json!({"id": "a", "table": "entries", "snapshot": true})).await;
        let subscribed = client.expect("subscribed").await;
        let (_, last) = snapshot(&mut client).await;
        server.stop().await;
        assert_eq!(client.closed().await.code, Some(1001));
        database.execute("insert into entries values (1, 7)").await;
        server.resume().await;
        let mut client = Client::connect(server.address()).await;
        client.subscribe(resume(&subscribed, &last)).await;
        let resync = next(&mut client).await;
        assert_eq!(
            (&resync["type"], &resync["reason"]),
            (&json!("resync"), &json!("source_reset")),
            "{resync}"
        );
        client.expect("subscribed").await;
        let (rows, _) = snapshot(&mut client).await;
        assert_eq!(rows, [json!({"id": "1", "board_id": 7})]);
        server.stop().await;
    });
}
