//! The ground that the other tests stand on.

use std::panic::catch_unwind;

use crate::fixture::{Database, eventually, private, scenario};

#[test]
fn databases_of_two_tests_are_strangers_and_gone_with_their_slots_afterwards() {
    scenario(async |test| {
        let (one, two) = (test.database().await, test.database().await);
        one.execute("create table things (id int primary key)").await;
        let tables = "select count(*) from pg_class where relname = 'things'";
        assert_eq!((one.number(tables).await, two.number(tables).await), (1, 0));

        let (slot, name) = (one.slot(), one.name().to_owned());
        one.execute(&format!("create publication {} for all tables", one.publication())).await;
        one.execute(&format!("select pg_create_logical_replication_slot('{slot}', 'pgoutput')")).await;
        drop(one);
        let left = format!(
            "select (select count(*) from pg_database where datname = '{name}')
                  + (select count(*) from pg_replication_slots where slot_name = '{slot}')"
        );
        assert_eq!(two.number(&left).await, 0);
    });
}

#[test]
fn a_private_cluster_crashes_alone() {
    scenario(async |test| {
        let bystander = test.database().await;
        let mut cluster = private(&[("fsync", "on")]);
        let database = Database::create_on(cluster.address()).await;
        database.execute("create table kept (id int primary key); insert into kept values (1)").await;
        cluster.kill().expect("ours");
        cluster.resume().expect("recovers");
        assert_eq!(database.number("select count(*) from kept").await, 1);
        assert_eq!(bystander.number("select 1::bigint").await, 1);

        let held = database.client().await;
        let pid: i32 = held.query_one("select pg_backend_pid()", &[]).await.expect("alive").get(0);
        cluster.kill_backend(pid).expect("a child of this cluster");
        eventually("the connection is gone", async || held.is_closed().then_some(())).await;
    });
}

#[test]
fn a_warning_that_nobody_listed_fails_the_test() {
    let careless = || {
        scenario(async |_| {
            tokio::task::spawn_blocking(|| tracing::warn!(slot = "s", "the slot was lost"))
                .await
                .expect("ran");
        });
    };
    let panic = catch_unwind(careless).expect_err("an unlisted line");
    let message = panic.downcast_ref::<String>().expect("a message");
    assert!(message.contains("the slot was lost") && message.contains("slot=\"s\""), "{message}");

    scenario(async |test| {
        test.expect_in_log("the slot was lost");
        tracing::warn!("the slot was lost");
        assert!(test.logged("slot was lost"));
    });
}
