//! PostgreSQL fails over to a standby, and the journal knows more than the new primary does.
//!
//! ```text
//!  primary ──slot──▶ stream ──▶ clients      told of what the standby never had
//!     └──log──▶ standby ─promoted─▶ slot, a new life ──▶ the same clients
//! ```

use serde_json::{Value, json};
use tidegate::cli::demo::cluster::Cluster;
use tidegate::event::Lsn;

use super::house::House;
use crate::client::{Client, Mirror};
use crate::fixture::{Database, eventually, follow, private_standby, scenario};
use crate::stage::lsn;

const CARDS: &str = "
    create table public.cards (id bigint primary key, note text not null);
    alter table public.cards replica identity full;
    insert into public.cards select n, 'before' from generate_series(1, 20) n;";

/// What the standby has of the last transactions when the primary goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standby {
    LacksTheLast,
    HasAll,
}

/// A client of the table on one server, live, from its cursor if it has one.
async fn connect(house: &House, server: usize, mirror: &mut Mirror) -> Client {
    let mut client = Client::connect(house.servers[server].address).await;
    client.send(&mirror.request()).await;
    while !mirror.is_live() {
        mirror.apply(&client.next().await.expect("the connection lives"));
    }
    client
}

/// Reads all that the table has, and holds the mirror to it.
async fn settle(database: &Database, client: &mut Client, mirror: &mut Mirror) {
    let end = lsn(database).await;
    client
        .await_lsn(end, |frame| {
            mirror.apply(frame);
        })
        .await;
    let query = "select coalesce(json_object_agg(id, note), '{}')::text from public.cards";
    let row = database.client().await.query_one(query, &[]).await.expect("the table is there");
    let expected: Value = serde_json::from_str(row.get(0)).expect("JSON");
    let held =
        mirror.rows().values().map(|row| (row["id"].as_str().expect("text").to_owned(), row["note"].clone()));
    assert_eq!(Value::Object(held.collect()), expected);
}

/// Until the standby shows everything up to `end`.
async fn replayed(standby: &Database, end: Lsn) {
    let query = format!("select (pg_last_wal_replay_lsn() >= '{end}')::int::bigint");
    let has = async || (standby.number(&query).await == 1).then_some(());
    eventually("the standby has everything", has).await;
}

/// Until the primary sends its log to no standby any more.
async fn cut_off(primary: &Database, standby: &Cluster) {
    follow(standby, None);
    let query = "select count(*) from pg_stat_replication where application_name = 'standby'";
    let gone = async || (primary.number(query).await == 0).then_some(());
    eventually("the standby is cut off", gone).await;
}

async fn fail_over(kind: Standby) {
    let mut house = House::build(0, CARDS, &[]).await;
    let cluster = tokio::task::block_in_place(|| private_standby(&house.cluster));
    let standby = house.database.on(cluster.address());
    let ports = [&house.cluster, &cluster].map(|cluster| cluster.address().port().expect("it runs"));
    let name = house.database.name();
    let both = format!("user=postgres dbname={name} host=127.0.0.1,127.0.0.1 port={},{}", ports[0], ports[1]);
    for _ in 0..2 {
        house.add(&[
            ("postgres.url", &both),
            ("postgres.tables", r#"["public.cards"]"#),
            ("journal.confirm_delay_ms", "500"),
        ]);
    }
    house.servers.iter_mut().for_each(super::house::Process::start);
    for server in &house.servers {
        server.ready().await;
    }
    // One stays on each server, and two are away when it happens.
    let [mut stays, mut stays_too, mut early, mut late] =
        [0, 1, 2, 3].map(|n| Mirror::new(&format!("cards{n}"), json!({"table": "public.cards"})));
    let mut first = connect(&house, 0, &mut stays).await;
    let mut second = connect(&house, 1, &mut stays_too).await;
    house.database.execute("update public.cards set note = 'both have it' where id <= 10").await;
    drop(connect(&house, 0, &mut early).await);
    early.cut();

    replayed(&standby, lsn(&house.database).await).await;
    if kind == Standby::LacksTheLast {
        cut_off(&house.database, &cluster).await;
    }
    for sql in [
        "insert into public.cards select n, 'the last' from generate_series(101, 120) n",
        "update public.cards set note = 'the last' where id between 5 and 15",
        "delete from public.cards where id > 15 and id <= 20",
    ] {
        house.database.execute(sql).await;
    }
    // The stream holds them, and clients were told.
    settle(&house.database, &mut first, &mut stays).await;
    settle(&house.database, &mut second, &mut stays_too).await;
    let mut client = connect(&house, 1, &mut late).await;
    settle(&house.database, &mut client, &mut late).await;
    drop(client);
    late.cut();
    if kind == Standby::HasAll {
        replayed(&standby, lsn(&house.database).await).await;
    }

    tokio::task::block_in_place(|| house.cluster.kill().expect("ours"));
    standby.execute("select pg_promote()").await;
    let lost = standby.number("select 20 - count(*) from public.cards where id > 100").await;
    assert_eq!(lost, if kind == Standby::LacksTheLast { 20 } else { 0 }, "{kind:?}");
    standby.execute("update public.cards set note = 'after' where id <= 3").await;

    for (client, mirror) in [(&mut first, &mut stays), (&mut second, &mut stays_too)] {
        while !mirror.resyncs.contains_key("source_reset") || !mirror.is_live() {
            mirror.apply(&client.next().await.expect("the connection lives"));
        }
        settle(&standby, client, mirror).await;
    }
    for (server, mirror) in [(0, &mut late), (1, &mut early)] {
        let mut client = connect(&house, server, mirror).await;
        assert!(mirror.refusals == 1 && mirror.resyncs.contains_key("source_reset"), "{:?}", mirror.resyncs);
        settle(&standby, &mut client, mirror).await;
    }
    // And it goes on.
    standby.execute("insert into public.cards values (500, 'goes on')").await;
    settle(&standby, &mut first, &mut stays).await;
    settle(&standby, &mut second, &mut stays_too).await;
    assert_eq!(house.logged("changes may have been missed"), 1, "one process began one new life");
    house.close().await;
}

#[test]
fn what_a_promoted_standby_lacks_is_with_no_client_any_more() {
    scenario(async |_| fail_over(Standby::LacksTheLast).await);
}

#[test]
fn a_promoted_standby_that_has_everything_loses_nobody_a_row() {
    scenario(async |_| fail_over(Standby::HasAll).await);
}
