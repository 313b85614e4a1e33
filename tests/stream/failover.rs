//! PostgreSQL fails over to a standby, and the journal knows more than the new primary does.
//!
//! ```text
//!  primary ──slot──▶ stream ──▶ clients      told of what the standby never had
//!     └──log──▶ standby ─promoted─▶ slot, a new life ──▶ the same clients
//! ```

use tidegate::cli::demo::cluster::Cluster;
use tidegate::event::Lsn;

use super::cards::{CARDS, follow, mirror, settle};
use super::house::{House, Process};
use crate::fixture::{Database, eventually, follow_primary, private_standby, scenario};
use crate::stage::lsn;

/// What the standby has of the last transactions when the primary goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standby {
    LacksTheLast,
    HasAll,
}

/// Until the standby shows everything up to `end`.
async fn replayed(standby: &Database, end: Lsn) {
    let query = format!("select (pg_last_wal_replay_lsn() >= '{end}')::int::bigint");
    let has = async || (standby.number(&query).await == 1).then_some(());
    eventually("the standby has everything", has).await;
}

/// Until the primary sends its log to no standby any more.
async fn cut_off(primary: &Database, standby: &Cluster) {
    follow_primary(standby, None);
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
    house.servers.iter_mut().for_each(Process::start);
    for server in &house.servers {
        server.ready().await;
    }
    // One stays on each server, and two are away when it happens.
    let [mut stays, mut stays_too, mut early, mut late] = [0; 4].map(|_| mirror());
    let mut first = follow(&house, 0, &mut stays).await;
    let mut second = follow(&house, 1, &mut stays_too).await;
    house.database.execute("update public.cards set note = 'both have it' where id <= 10").await;
    drop(follow(&house, 0, &mut early).await);
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
    let mut client = follow(&house, 1, &mut late).await;
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
        let mut client = follow(&house, server, mirror).await;
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
