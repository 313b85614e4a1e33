//! The slot: whose it is, and what is told when it is no longer the same.

use tidegate::event::Lsn;
use tidegate::source::{Config, Continuity, Error, Reason, Recovery};

use super::follower::{Follower, Seen, config, publish};
use crate::fixture::{Database, Test, eventually, private, scenario};

async fn prepared(test: &Test) -> Database {
    let database = test.database().await;
    database.execute("create table things (id int primary key)").await;
    publish(&database).await;
    database
}

/// Cuts the stream from the server's side, once it is there.
async fn cut(database: &Database) {
    let sql = format!(
        "select count(pg_terminate_backend(active_pid, 10000))
         from pg_replication_slots
         where slot_name = '{}' and active_pid is not null",
        database.slot()
    );
    eventually("the stream is cut", async || (database.number(&sql).await == 1).then_some(())).await;
}

#[test]
fn a_slot_is_made_once_and_what_was_not_confirmed_comes_again() {
    scenario(async |test| {
        let database = prepared(test).await;
        let mut follower = Follower::start(config(&database)).without_confirming();
        assert_eq!(follower.opened().await, Continuity::Reset(Reason::SlotCreated));
        database.execute("insert into things values (1)").await;
        assert_eq!(follower.story().await, ["+ things (1)"]);
        follower.stop().await.expect("stops");

        let mut follower = Follower::start(config(&database));
        assert_eq!(follower.opened().await, Continuity::Continued);
        assert_eq!(follower.story().await, ["+ things (1)"]);
        follower.stop().await.expect("stops");

        let mut follower = Follower::start(config(&database));
        assert_eq!(follower.opened().await, Continuity::Continued);
        database.execute("insert into things values (2)").await;
        assert_eq!(follower.story().await, ["+ things (2)"], "the last confirmation was told at the end");
        follower.stop().await.expect("stops");
    });
}

#[test]
fn a_slot_in_use_is_waited_for_and_goes_on_where_its_holder_stopped() {
    scenario(async |test| {
        let database = prepared(test).await;
        let mut first = Follower::open(config(&database)).await;
        let mut second = Follower::start(config(&database));
        eventually("the second one waits", async || test.logged("the slot is in use").then_some(())).await;
        database.execute("insert into things values (1)").await;
        assert_eq!(first.story().await, ["+ things (1)"]);
        first.stop().await.expect("stops");
        assert_eq!(second.opened().await, Continuity::Continued);
        database.execute("insert into things values (2)").await;
        assert_eq!(second.story().await, ["+ things (2)"]);
        second.stop().await.expect("stops");
    });
}

#[test]
fn a_frozen_holder_gives_the_slot_up() {
    scenario(async |test| {
        let database = prepared(test).await;
        let quick = Config { wal_sender_timeout: std::time::Duration::from_secs(1), ..config(&database) };
        let (frozen, thaw) = std::sync::mpsc::channel::<()>();
        let (running, runs) = tokio::sync::oneshot::channel();
        let of_holder = quick.clone();
        let holder = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("the machine has threads").block_on(async move {
                let _follower = Follower::open(of_holder).await;
                running.send(()).expect("the test waits");
                // The only thread of this runtime stands still: neither data nor keepalives are answered.
                thaw.recv().expect_err("the test never sends");
            });
        });
        runs.await.expect("it holds the slot");
        let mut second = Follower::start(quick);
        assert_eq!(second.opened().await, Continuity::Continued);
        second.stop().await.expect("stops");
        drop(frozen);
        holder.join().expect("does not panic");
    });
}

#[test]
fn a_dropped_slot_is_made_again_and_told_as_lost() {
    scenario(async |test| {
        test.expect_in_log("no stream from PostgreSQL");
        let database = prepared(test).await;
        let mut follower = Follower::open(config(&database)).await;
        drop_slot(&database).await;
        assert_eq!(follower.reset().await, Reason::SlotLost);
        database.execute("insert into things values (1)").await;
        assert_eq!(follower.story().await, ["+ things (1)"]);
        follower.stop().await.expect("stops");
    });
}

/// Drops the slot while its reader is between two connections.
async fn drop_slot(database: &Database) {
    let client = database.client().await;
    let slot = database.slot();
    eventually("the slot is dropped", async || {
        cut(database).await;
        client.execute("select pg_drop_replication_slot($1)", &[&slot]).await.ok()
    })
    .await;
}

#[test]
fn a_slot_that_someone_else_has_read_or_made_again_is_told_as_advanced() {
    scenario(async |test| {
        test.expect_in_log("no stream from PostgreSQL");
        let database = prepared(test).await;
        let mut follower = Follower::open(config(&database)).await;
        database.execute("insert into things values (1)").await;
        follower.story().await;
        let client = database.client().await;
        let slot = database.slot();
        for sql in [
            "select pg_replication_slot_advance($1, pg_current_wal_lsn())::text",
            "select (pg_drop_replication_slot($1),
                     pg_create_logical_replication_slot($1, 'pgoutput'))::text",
        ] {
            database.execute("insert into things select max(id) + 1 from things").await;
            eventually("it is done in between", async || {
                cut(&database).await;
                client.query_one(sql, &[&slot]).await.ok()
            })
            .await;
            assert_eq!(follower.reset().await, Reason::SlotAdvanced, "{sql}");
        }
        follower.stop().await.expect("stops");
    });
}

#[test]
fn an_invalidated_slot_is_replaced_and_told_as_lost() {
    scenario(async |test| {
        test.expect_in_log("no stream from PostgreSQL");
        test.expect_in_log("dropped a slot that cannot be read any more");
        let cluster =
            private(&[("max_slot_wal_keep_size", "1MB"), ("min_wal_size", "32MB"), ("max_wal_size", "32MB")]);
        let database = Database::create_on(cluster.address()).await;
        database.execute("create table things (id int primary key); create table noise (body text)").await;
        publish(&database).await;
        let mut follower = Follower::start(config(&database)).without_confirming();
        follower.opened().await;
        let sql = format!(
            "select count(*) from pg_replication_slots where slot_name = '{}' and wal_status = 'lost'",
            database.slot()
        );
        let mut reset = None;
        eventually("the slot is lost", async || {
            database
                .execute("insert into noise select repeat('x', 1000) from generate_series(1, 20000)")
                .await;
            database.execute("select pg_switch_wal()").await;
            database.execute("checkpoint").await;
            while let Ok(seen) =
                tokio::time::timeout(std::time::Duration::from_millis(20), follower.next()).await
            {
                if let Seen::Opened(Continuity::Reset(reason)) = seen {
                    reset = Some(reason);
                }
            }
            (reset.is_some() || database.number(&sql).await == 1).then_some(())
        })
        .await;
        let reason = match reset {
            Some(reason) => reason,
            None => follower.reset().await,
        };
        assert_eq!(reason, Reason::SlotLost);
        follower.stop().await.expect("stops");
    });
}

#[test]
fn a_slot_older_than_its_publication_is_read_from_where_it_can_be_or_replaced() {
    scenario(async |test| {
        let database = test.database().await;
        let slot = database.slot();
        database.execute("create table things (id int primary key)").await;
        database.execute(&format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')")).await;
        database.execute("insert into things values (1)").await;
        publish(&database).await;
        // From 18 on PostgreSQL passes over what was written while there was no publication; before, the first such
        // row is an error, and would be for ever.
        let passed_over =
            database.number("select current_setting('server_version_num')::bigint").await >= 180_000;
        if !passed_over {
            test.expect_in_log("no stream from PostgreSQL");
            test.expect_in_log("dropped a slot that cannot be read any more");
        }
        let mut follower = Follower::open(config(&database)).await;
        if !passed_over {
            assert_eq!(follower.reset().await, Reason::SlotLost);
        }
        database.execute("insert into things values (2)").await;
        assert_eq!(follower.story().await, ["+ things (2)"]);
        follower.stop().await.expect("stops");
    });
}

#[test]
fn a_publication_that_is_missing_is_waited_for_with_a_warning_that_names_it() {
    scenario(async |test| {
        test.expect_in_log("there is no publication");
        let database = test.database().await;
        let mut follower = Follower::start(config(&database));
        let named = format!(
            "there is no publication `{}`: the server makes it when it next reads the catalog, and \
             `tidegate check --fix` does at once",
            database.publication()
        );
        eventually("the warning", async || test.logged(&named).then_some(())).await;
        publish(&database).await;
        assert_eq!(follower.opened().await, Continuity::Reset(Reason::SlotCreated));
        follower.stop().await.expect("stops");
    });
}

#[test]
fn a_slot_for_something_else_halts_with_the_sql_that_mends_it() {
    scenario(async |test| {
        let database = prepared(test).await;
        let slot = database.slot();
        for (create, what) in [
            (format!("select pg_create_physical_replication_slot('{slot}')"), "is a physical one"),
            (
                format!("select pg_create_logical_replication_slot('{slot}', 'test_decoding')"),
                "is for the plugin `test_decoding`",
            ),
        ] {
            database.execute(&create).await;
            let error = Follower::start(config(&database)).failure().await;
            assert_eq!(error.recovery(), Recovery::Halt);
            let text = error.to_string();
            assert!(text.contains(what), "{text}");
            let Error::UnfitSlot { sql, .. } = error else { panic!("{text}") };
            database.execute(&sql).await;
        }
        let other = test.database().await;
        let elsewhere = Config { slot: slot.clone(), ..config(&other) };
        database.execute(&format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')")).await;
        publish(&other).await;
        let text = Follower::start(elsewhere).failure().await.to_string();
        assert!(text.contains(&format!("belongs to the database `{}`", database.name())), "{text}");
    });
}

#[test]
fn nothing_is_confirmed_that_the_reader_has_not_confirmed() {
    scenario(async |test| {
        let database = prepared(test).await;
        let mut follower = Follower::start(config(&database)).without_confirming();
        follower.opened().await;
        database.execute("insert into things values (1)").await;
        let Seen::Transaction { end_lsn: first, .. } = follower.next().await else { panic!("a row") };
        database.execute("insert into things values (2)").await;
        let Seen::Transaction { end_lsn: second, .. } = follower.next().await else { panic!("a row") };
        follower.confirmed.send_replace(first);
        let client = database.client().await;
        let query = format!(
            "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = '{}'",
            database.slot()
        );
        let told = async || {
            let row = client.query_one(&query, &[]).await.expect("up");
            row.get::<_, &str>(0).parse::<Lsn>().expect("a position")
        };
        eventually("it is told", async || (told().await == first).then_some(())).await;
        // A reader that claims more than it was given is not believed. Marks of what others commit are given, too.
        follower.confirmed.send_replace(Lsn::new(u64::MAX));
        let told = eventually("it is told", async || Some(told().await).filter(|told| *told >= second)).await;
        let delivered = follower.delivered();
        assert!(told <= delivered, "{told} was confirmed, and {delivered} was delivered");
        follower.stop().await.expect("stops");
    });
}

pub(crate) async fn data_folder(database: &Database) -> String {
    let row = database.client().await.query_one("show data_directory", &[]).await;
    row.expect("the superuser may").get(0)
}
