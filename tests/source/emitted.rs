//! What `pg_logical_emit_message` says, and how positions move where nothing else happens.

use tidegate::event::Lsn;

use super::follower::{Follower, Seen, config, publish};
use crate::fixture::{Database, eventually, scenario};

#[test]
fn events_arrive_in_the_order_of_their_transaction_and_only_if_it_commits() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute("create table things (id int primary key)").await;
        publish(&database).await;
        let mut follower = Follower::open(config(&database)).await;
        database
            .execute(
                r#"begin;
                   select pg_logical_emit_message(true, 'tidegate:lost', '1');
                   rollback;
                   begin;
                   insert into things values (1);
                   select pg_logical_emit_message(true, 'tidegate:deploys.eu', '{"ok": true}');
                   select pg_logical_emit_message(true, 'somebody else', 'not JSON');
                   select pg_logical_emit_message(true, 'tidegate.schema', 'alter table');
                   insert into things values (2);
                   commit;"#,
            )
            .await;
        assert_eq!(
            follower.story().await,
            ["+ things (1)", "event deploys.eu {\"ok\": true}", "schema", "+ things (2)"]
        );
        follower.stop().await.expect("stops");
    });
}

#[test]
fn what_is_no_event_is_left_out_with_a_warning_and_the_rest_goes_on() {
    scenario(async |test| {
        test.expect_in_log("left out a message of `pg_logical_emit_message`");
        let database = test.database().await;
        database.execute("create table things (id int primary key)").await;
        publish(&database).await;
        let mut follower = Follower::open(config(&database)).await;
        database
            .execute(
                "select pg_logical_emit_message(false, 'tidegate:deploys', '{}');
                 begin;
                 select pg_logical_emit_message(true, 'tidegate:deploys', '{broken');
                 insert into things values (0);
                 commit;
                 insert into things values (1);",
            )
            .await;
        assert_eq!(follower.story().await, ["+ things (0)"]);
        assert_eq!(follower.story().await, ["+ things (1)"]);
        assert!(test.logged("a message must be transactional"));
        follower.stop().await.expect("stops");
    });
}

#[test]
fn tokens_come_by_in_the_order_of_the_log() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute("create table things (id int primary key)").await;
        publish(&database).await;
        let mut follower = Follower::open(config(&database)).await;
        database
            .execute(
                "begin;
                 select pg_logical_emit_message(true, 'tidegate.mark', '7');
                 select pg_logical_emit_message(true, 'tidegate.mark', '8');
                 commit;
                 begin;
                 select pg_logical_emit_message(true, 'tidegate.mark', '9');
                 insert into things values (1);
                 commit;",
            )
            .await;
        let mut seen = Vec::new();
        while seen.len() < 4 {
            match follower.next().await {
                Seen::Mark(Some(token)) => seen.push(token.to_string()),
                Seen::Transaction { changes, .. } => seen.push(format!("{} changes", changes.len())),
                _ => {}
            }
        }
        assert_eq!(seen, ["7", "8", "1 changes", "9"]);
        follower.stop().await.expect("stops");
    });
}

async fn confirmed(database: &Database) -> Lsn {
    let sql = "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = $1";
    let row = database.client().await.query_one(sql, &[&database.slot()]).await.expect("the slot");
    row.get::<_, String>(0).parse().expect("a position")
}

async fn insert_position(database: &Database) -> Lsn {
    let row = database.client().await.query_one("select pg_current_wal_insert_lsn()::text", &[]).await;
    row.expect("a primary").get::<_, String>(0).parse().expect("a position")
}

/// Takes what comes until the slot has been told of `position`.
async fn until_confirmed(database: &Database, follower: &mut Follower, position: Lsn) {
    eventually("the slot moves", async || {
        if confirmed(database).await >= position {
            return Some(());
        }
        let _ = tokio::time::timeout(std::time::Duration::from_millis(50), follower.next()).await;
        None
    })
    .await;
}

#[test]
fn a_heartbeat_moves_the_slot_of_a_quiet_database() {
    scenario(async |test| {
        let database = test.database().await;
        publish(&database).await;
        let mut follower = Follower::open(config(&database)).await;
        let before = insert_position(&database).await;
        database.execute("select pg_logical_emit_message(true, 'tidegate.mark', '')").await;
        until_confirmed(&database, &mut follower, before).await;
        follower.stop().await.expect("stops");
    });
}

#[test]
fn traffic_on_tables_that_are_not_published_moves_the_slot_too() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(&format!(
                "create table noise (id int primary key); create publication {}",
                database.publication()
            ))
            .await;
        let mut follower = Follower::open(config(&database)).await;
        database.execute("insert into noise select generate_series(1, 10000)").await;
        let after = insert_position(&database).await;
        until_confirmed(&database, &mut follower, after).await;
        follower.stop().await.expect("stops");
    });
}

#[test]
fn empty_transactions_do_not_flood_the_reader() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(&format!(
                "create table noise (id int primary key);
                 create table things (id int primary key);
                 create publication {} for table things",
                database.publication()
            ))
            .await;
        let mut follower = Follower::open(config(&database)).await;
        database
            .execute(
                "do $$ begin
                     for i in 1..2000 loop
                         insert into noise values (i);
                         perform pg_logical_emit_message(true, 'tidegate.mark', '');
                         commit;
                     end loop;
                 end $$",
            )
            .await;
        database.execute("insert into things values (1)").await;
        assert_eq!(follower.story().await, ["+ things (1)"]);
        let taken = follower.deliveries_taken;
        assert!(taken < 200, "{taken} deliveries for 2,000 heartbeats and one row");
        follower.stop().await.expect("stops");
    });
}
