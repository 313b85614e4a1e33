//! Connections and servers that die in the middle of a load: nothing is lost, nothing is repeated.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use tidegate::cli::demo::cluster::Shutdown;
use tidegate::event::{Change, Datum};
use tidegate::source::Config;
use tokio_postgres::{Client, NoTls};

use super::follower::{Follower, config, publish};
use crate::fixture::{Database, eventually, private, scenario};

/// Commits numbered transactions of one to forty rows until it is `enough`; tells how many rows each has. A server that
/// goes away is waited for.
async fn load(database: &Database, enough: &Cell<bool>) -> BTreeMap<i64, i64> {
    let mut committed = BTreeMap::new();
    let mut client = None;
    for transaction in 0.. {
        if enough.get() {
            // The reader learns here that it was the last one.
            database.execute("insert into things values (-1, 1)").await;
            return committed;
        }
        let rows = transaction % 40 + 1;
        let sql = format!(
            "insert into things select {transaction}, n, repeat('x', 200) from generate_series(1, {rows}) n"
        );
        loop {
            let Some(connected) = (match client.take() {
                Some(connected) => Some(connected),
                None => connect(database).await,
            }) else {
                tokio::task::yield_now().await;
                continue;
            };
            let outcome = connected.batch_execute(&sql).await;
            // A commit may have been lost sight of and done all the same: its key says so at the next attempt.
            let twice =
                |error: tokio_postgres::Error| error.code().is_some_and(|code| code.code() == "23505");
            if outcome.is_ok() || outcome.is_err_and(twice) {
                committed.insert(transaction, rows);
                client = Some(connected);
                break;
            }
        }
    }
    unreachable!("it is enough at some time")
}

/// A connection, unless the server is down.
#[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
async fn connect(database: &Database) -> Option<Client> {
    let (client, connection) = tokio_postgres::connect(&database.url(), NoTls).await.ok()?;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Some(client)
}

/// Reads transactions until the last one has come; each must come whole, once, and in order.
async fn read_all(follower: &mut Follower) -> BTreeMap<i64, i64> {
    let mut seen = BTreeMap::new();
    loop {
        let changes = follower.transaction().await;
        let numbers: Vec<(i64, i64)> = changes.iter().map(number).collect();
        let transaction = numbers[0].0;
        if transaction < 0 {
            return seen;
        }
        let expected: Vec<(i64, i64)> = (1..=transaction % 40 + 1).map(|row| (transaction, row)).collect();
        assert_eq!(numbers, expected, "whole and in order");
        let next = seen.last_key_value().map_or(0, |(last, _)| last + 1);
        assert_eq!(transaction, next, "in commit order and once");
        seen.insert(transaction, transaction % 40 + 1);
    }
}

fn number(change: &Change) -> (i64, i64) {
    let Change::Row(change) = change else { panic!("a row: {change:?}") };
    let row = change.operation.new().expect("an insert");
    let column = |index| match row.get(index) {
        Some(Datum::Text(text)) => std::str::from_utf8(text).expect("digits").parse().expect("a number"),
        other => panic!("a number: {other:?}"),
    };
    (column(0), column(1))
}

async fn prepare(database: &Database) {
    database
        .execute("create table things (transaction int, row int, body text, primary key (transaction, row))")
        .await;
    publish(database).await;
}

/// Small chunks, so that transactions are cut in the middle, and quick pauses.
fn brisk(database: &Database) -> Config {
    Config {
        chunk_bytes: 2_000,
        reconnect_max: Duration::from_millis(300),
        wal_sender_timeout: Duration::from_secs(3),
        ..config(database)
    }
}

#[test]
fn a_walsender_that_is_terminated_in_the_middle_of_a_load_costs_nothing() {
    scenario(async |test| {
        test.expect_in_log("no stream from PostgreSQL");
        let database = test.database().await;
        prepare(&database).await;
        let mut follower = Follower::start_with_room(brisk(&database), 4);
        follower.reset().await;
        let enough = Cell::new(false);
        let cut = async {
            let sql = format!(
                "select count(pg_terminate_backend(active_pid)) from pg_replication_slots
                 where slot_name = '{}' and active_pid is not null",
                database.slot()
            );
            let mut cuts = 0;
            while cuts < 8 {
                cuts += database.number(&sql).await;
            }
            enough.set(true);
        };
        let (committed, (), seen) = tokio::join!(load(&database, &enough), cut, read_all(&mut follower));
        assert_eq!(committed, seen);
        follower.stop().await.expect("stops");
    });
}

#[test]
fn a_crash_of_postgresql_in_the_middle_of_a_load_costs_nothing() {
    scenario(async |test| {
        test.expect_in_log("no stream from PostgreSQL");
        let mut cluster = private(&[("fsync", "on")]);
        let database = Database::create_on(cluster.address()).await;
        prepare(&database).await;
        let mut follower = Follower::start_with_room(brisk(&database), 4);
        follower.reset().await;
        let enough = Cell::new(false);
        let crash = async {
            for round in 1..=3 {
                let sql = format!("select count(*) from things where transaction > {}", round * 60);
                eventually("the load goes on", async || {
                    let row = connect(&database).await?.query_one(&sql, &[]).await.ok()?;
                    (row.get::<_, i64>(0) > 0).then_some(())
                })
                .await;
                cluster.kill().expect("ours");
                cluster.resume().expect("recovers");
            }
            enough.set(true);
        };
        let (committed, (), seen) = tokio::join!(load(&database, &enough), crash, read_all(&mut follower));
        assert_eq!(committed, seen);
        follower.stop().await.expect("stops");
    });
}

#[test]
fn a_server_that_says_nothing_is_left_and_found_again() {
    scenario(async |test| {
        test.expect_in_log("no stream from PostgreSQL");
        let cluster = private(&[]);
        let database = Database::create_on(cluster.address()).await;
        prepare(&database).await;
        let quick = Config { wal_sender_timeout: Duration::from_secs(1), ..brisk(&database) };
        let mut follower = Follower::open(quick).await;
        let sql = "select active_pid::bigint from pg_replication_slots";
        let pid = i32::try_from(database.number(sql).await).expect("a process id");
        cluster.freeze_backend(pid).expect("a child of this cluster");
        eventually("it is left", async || test.logged("PostgreSQL said nothing for 2 s").then_some(())).await;
        database.execute("insert into things values (0, 1, 'x')").await;
        cluster.thaw_backend(pid).expect("a child of this cluster");
        assert_eq!(follower.story().await, ["+ things (0, 1, x)"]);
        follower.stop().await.expect("stops");
    });
}

#[test]
fn an_orderly_shutdown_is_not_held_up() {
    scenario(async |test| {
        test.expect_in_log("no stream from PostgreSQL");
        let mut cluster = private(&[]);
        let database = Database::create_on(cluster.address()).await;
        prepare(&database).await;
        let mut follower = Follower::open(brisk(&database)).await;
        database.execute("insert into things values (0, 1, 'x')").await;
        database.execute("create table noise (); drop table noise;").await;
        let reading = async {
            follower.story().await;
            while !matches!(follower.next().await, super::follower::Seen::Closed) {}
        };
        let stopping = tokio::task::spawn_blocking(move || {
            let started = std::time::Instant::now();
            cluster.stop(Shutdown::Fast).expect("ours");
            (cluster, started.elapsed())
        });
        let ((), stopped) = tokio::join!(reading, stopping);
        let (mut cluster, took) = stopped.expect("does not panic");
        assert!(took < Duration::from_secs(5), "it took {took:?}");
        tokio::task::spawn_blocking(move || {
            cluster.resume().expect("starts");
            cluster
        })
        .await
        .expect("does not panic");
        follower.stop().await.expect("stops");
    });
}
