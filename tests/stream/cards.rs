//! A small table and its clients, for tests that look at single rows and single frames.

use serde_json::{Value, json};

use super::house::House;
use crate::client::{Client, Mirror};
use crate::fixture::Database;
use crate::stage::lsn;

pub(crate) const CARDS: &str = "
    create table public.cards (id bigint primary key, note text not null);
    alter table public.cards replica identity full;
    insert into public.cards select n, 'before' from generate_series(1, 20) n;";

/// One subscription to the whole table.
pub(crate) fn mirror() -> Mirror {
    Mirror::new("cards", json!({"table": "public.cards"}))
}

/// A client of the table on one server, live: from its cursor if it has one.
pub(crate) async fn follow(house: &House, server: usize, mirror: &mut Mirror) -> Client {
    let mut client = Client::connect(house.servers[server].address).await;
    client.send(&mirror.request()).await;
    while !mirror.is_live() {
        mirror.apply(&client.next().await.expect("the connection lives"));
    }
    client
}

/// A client on each server.
pub(crate) async fn follow_each(house: &House, mirrors: &mut [Mirror]) -> Vec<Client> {
    let mut clients = Vec::new();
    for (server, mirror) in mirrors.iter_mut().enumerate() {
        clients.push(follow(house, server, mirror).await);
    }
    clients
}

/// Reads all that was committed until now, and holds the mirror to it.
pub(crate) async fn settle(database: &Database, client: &mut Client, mirror: &mut Mirror) {
    let end = lsn(database).await;
    client
        .await_lsn(end, |frame| {
            mirror.apply(frame);
        })
        .await;
    compare(database, mirror).await;
}

async fn compare(database: &Database, mirror: &Mirror) {
    let query = "select coalesce(json_object_agg(id, note), '{}')::text from public.cards";
    let row = database.client().await.query_one(query, &[]).await.expect("the table is there");
    let expected: Value = serde_json::from_str(row.get(0)).expect("JSON");
    let held =
        mirror.rows().values().map(|row| (row["id"].as_str().expect("text").to_owned(), row["note"].clone()));
    assert_eq!(Value::Object(held.collect()), expected);
}

/// Commits now and then, for a while.
pub(crate) async fn write(house: &House, what: &str, count: u32) {
    for n in 0..count {
        let id = n % 20 + 1;
        house.database.execute(&format!("update public.cards set note = '{what} {n}' where id = {id}")).await;
    }
}
