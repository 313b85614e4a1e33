//! The invariants of `docs/architecture.md`, each under its name, where `seam` does not hold them already.

use serde_json::json;

use crate::client::{Client, Mirror};
use crate::fixture::scenario;
use crate::server::Server;

const CARDS: &str =
    "create table cards (id bigint primary key, board int not null, version bigint not null, body text);
     alter table cards replica identity full;";

#[test]
fn a_client_cuts_and_resumes_and_holds_the_rows() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute(CARDS).await;
        database.execute("insert into cards select i, i % 3, 1, 'x' from generate_series(1, 10) i").await;
        let server = Server::start(&database).await;
        let mut mirror = Mirror::new("cards", json!({"table": "public.cards", "where": "board = 1"}));
        let mut client = Client::connect(server.address()).await;
        client.send(&mirror.request()).await;
        while !mirror.is_live() {
            mirror.apply(&client.next().await.expect("alive"));
        }
        assert_eq!(mirror.rows().len(), 4);
        database.execute("update cards set board = 1 where id = 2; delete from cards where id = 1").await;
        while mirror.transactions < 1 {
            mirror.apply(&client.next().await.expect("alive"));
        }
        client.cut();
        mirror.cut();
        database.execute("update cards set body = 'y', version = 2 where id = 2; truncate cards").await;
        let mut client = Client::connect(server.address()).await;
        client.send(&mirror.request()).await;
        while !mirror.rows().is_empty() {
            mirror.apply(&client.next().await.expect("alive"));
        }
        assert_eq!((mirror.snapshots, mirror.resumes), (1, 1));
        assert_eq!(client.close().await.code, Some(1000));
    });
}
