//! The journal in a RabbitMQ stream, through the sockets of several servers.

mod audit;
mod broker;
mod cards;
mod cut_off;
mod exchange;
mod failover;
mod faults;
pub(crate) mod house;
mod proxy;
mod refusals;
mod services;

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::client::{Client, Mirror};
use crate::fixture::{Database, Vhost, eventually, scenario};
use crate::server::Server;
use crate::stage::lsn;

const CARDS: &str = "
    create table public.cards (id bigint primary key, board int not null, note text not null);
    alter table public.cards replica identity full;
    insert into public.cards select n, n % 3, 'before' from generate_series(1, 100) n;";

/// A server on the database with its journal in a stream on the virtual host.
async fn server(database: &Database, vhost: &Vhost, settings: &[(&str, &str)]) -> Server {
    let url = vhost.url();
    let own = [("journal.backend", "rabbitmq"), ("journal.url", &*url)];
    Server::start_with(database, &[&own, settings].concat()).await
}

/// A client of the whole table, live.
async fn follow(server: &Server, mirror: &mut Mirror) -> Client {
    let mut client = Client::connect(server.address()).await;
    client.send(&mirror.request()).await;
    while !mirror.is_live() {
        mirror.apply(&client.next().await.expect("the connection lives"));
    }
    client
}

/// Reads everything that the table has, and holds the mirror to it.
async fn settle(database: &Database, client: &mut Client, mirror: &mut Mirror) {
    let end = lsn(database).await;
    client
        .await_lsn(end, |frame| {
            mirror.apply(frame);
        })
        .await;
    let count = database.number("select count(*) from public.cards").await;
    let notes = database.number("select coalesce(sum(length(note)), 0) from public.cards").await;
    let told: usize = mirror.rows().values().map(|row| row["note"].as_str().expect("text").len()).sum();
    assert_eq!(
        (mirror.rows().len(), told),
        (usize::try_from(count).unwrap(), usize::try_from(notes).unwrap())
    );
}

#[test]
fn a_client_goes_from_one_server_to_another_and_misses_nothing() {
    scenario(async |test| {
        let (database, vhost) = (test.database().await, test.vhost().await);
        database.execute(CARDS).await;
        let first = server(&database, &vhost, &[]).await;
        let second = server(&database, &vhost, &[]).await;
        let mut mirror = Mirror::new("cards", json!({"table": "public.cards"}));
        let servers = [&first, &second];
        for round in 0..6 {
            let mut client = follow(servers[round % 2], &mut mirror).await;
            database.execute(&format!("update public.cards set note = 'round {round}' where id <= 50")).await;
            settle(&database, &mut client, &mut mirror).await;
            drop(client);
            mirror.cut();
            // While nobody listens.
            database.execute(&format!("insert into public.cards values (1000 + {round}, 1, 'away')")).await;
        }
        assert_eq!((mirror.snapshots, mirror.resumes), (1, 5), "{:?}", mirror.resyncs);
    });
}

#[test]
fn another_server_takes_the_slot_over_and_clients_of_both_go_on() {
    scenario(async |test| {
        let (database, vhost) = (test.database().await, test.vhost().await);
        database.execute(CARDS).await;
        let mut first = server(&database, &vhost, &[]).await;
        let second = server(&database, &vhost, &[]).await;
        let mut mirrors = [0, 1].map(|n| Mirror::new(&format!("cards{n}"), json!({"table": "public.cards"})));
        let client = follow(&first, &mut mirrors[0]).await;
        let mut stays = follow(&second, &mut mirrors[1]).await;
        drop(client);
        mirrors[0].cut();
        first.stop().await;
        database.execute("update public.cards set note = 'nobody reads the slot'").await;
        let since = Instant::now();
        settle(&database, &mut stays, &mut mirrors[1]).await;
        assert!(since.elapsed() < Duration::from_secs(5), "handed over in {:?}", since.elapsed());
        let mut returns = follow(&second, &mut mirrors[0]).await;
        settle(&database, &mut returns, &mut mirrors[0]).await;
        for mirror in &mirrors {
            assert_eq!((mirror.snapshots, mirror.resyncs.len()), (1, 0), "{:?}", mirror.resyncs);
        }
    });
}

#[test]
fn a_cursor_outlives_all_servers_also_where_the_window_has_moved_on() {
    scenario(async |test| {
        let (database, vhost) = (test.database().await, test.vhost().await);
        database.execute(CARDS).await;
        let small = [
            ("journal.memory_bytes", "1048576"),
            ("journal.held_bytes", "0"),
            ("hub.transaction_bytes", "1048576"),
        ];
        let mut server = server(&database, &vhost, &small).await;
        let mut mirror = Mirror::new("cards", json!({"table": "public.cards"}));
        let mut client = follow(&server, &mut mirror).await;
        settle(&database, &mut client, &mut mirror).await;
        drop(client);
        mirror.cut();
        for round in 0..40 {
            let sql = format!("update public.cards set note = repeat('{}', 2000)", round % 10);
            database.execute(&sql).await;
        }
        let mut client = follow(&server, &mut mirror).await;
        settle(&database, &mut client, &mut mirror).await;
        drop(client);
        mirror.cut();
        assert_eq!((mirror.snapshots, mirror.resumes), (1, 1), "{:?}", mirror.resyncs);
        for round in 0..40 {
            let sql = format!("update public.cards set note = repeat('{}', 1500)", round % 10);
            database.execute(&sql).await;
        }
        server.stop().await;
        server.resume().await;
        let mut client = follow(&server, &mut mirror).await;
        settle(&database, &mut client, &mut mirror).await;
        assert_eq!((mirror.snapshots, mirror.resumes), (1, 2), "{:?}", mirror.resyncs);
        let caught_up =
            async || (server.metric("tidegate_journal_catch_ups_total").await >= 1.0).then_some(());
        eventually("it caught up from the stream", caught_up).await;
    });
}
