//! One cluster or another, and the same one at another time: when what was told still holds.

use tidegate::cli::demo::cluster::Shutdown;
use tidegate::postgres::Settings;
use tidegate::source::{Config, Reason};
use tokio_postgres::NoTls;

use super::follower::{Follower, config, publish};
use super::slots::data_folder;
use crate::fixture::{Database, copy_files, eventually, private, scenario};

#[test]
fn another_timeline_is_another_life_and_a_standby_is_passed_over() {
    scenario(async |test| {
        test.expect_in_log("no stream from PostgreSQL");
        let mut cluster = private(&[("hot_standby", "on")]);
        let database = Database::create_on(cluster.address()).await;
        database.execute("create table things (id int primary key)").await;
        publish(&database).await;
        let mut follower = Follower::open(config(&database)).await;
        let folder = data_folder(&database).await;
        cluster.stop(Shutdown::Fast).expect("ours");
        std::fs::write(format!("{folder}/standby.signal"), "").expect("ours");
        cluster.resume().expect("starts as a standby");
        eventually("the standby is told of", async || test.logged("is a standby").then_some(())).await;
        database.execute("select pg_promote()").await;
        assert_eq!(follower.reset().await, Reason::TimelineChanged);
        database.execute("insert into things values (1)").await;
        assert_eq!(follower.story().await, ["+ things (1)"]);
        follower.stop().await.expect("stops");
    });
}

#[test]
fn another_cluster_is_another_life() {
    scenario(async |test| {
        test.expect_in_log("no stream from PostgreSQL");
        let (mut first, second) = (private(&[]), private(&[]));
        let database = Database::create_on(first.address()).await;
        publish(&database).await;
        let (name, publication) = (database.name(), database.publication());
        for (place, sql) in [
            ("postgres", format!("create database {name}")),
            (
                name,
                format!(
                    "create table things (id int primary key); create publication {publication} for all tables"
                ),
            ),
        ] {
            let (client, connection) =
                tokio_postgres::connect(&second.url(place), NoTls).await.expect("runs");
            tokio::select! {
                done = client.batch_execute(&sql) => done.expect("the superuser may"),
                _ = connection => panic!("the connection ended"),
            }
        }
        let ports = [&first, &second].map(|cluster| cluster.address().port().expect("runs"));
        let text =
            format!("user=postgres dbname={name} host=127.0.0.1,127.0.0.1 port={},{}", ports[0], ports[1]);
        let settings = Settings::parse(&text).expect("valid");
        let mut follower = Follower::open(Config { settings, ..config(&database) }).await;
        first.stop(Shutdown::Immediate).expect("ours");
        assert_eq!(follower.reset().await, Reason::SystemChanged);
        follower.stop().await.expect("stops");
        first.resume().expect("ours, for the database to be dropped");
    });
}

#[test]
fn a_cluster_whose_files_are_put_back_to_an_earlier_state_is_another_life() {
    scenario(async |test| {
        test.expect_in_log("no stream from PostgreSQL");
        let mut cluster = private(&[]);
        let database = Database::create_on(cluster.address()).await;
        database.execute("create table things (id int primary key)").await;
        publish(&database).await;
        let mut follower = Follower::open(config(&database)).await;
        database.execute("insert into things values (1)").await;
        assert_eq!(follower.story().await, ["+ things (1)"]);
        let (data, copy) = (cluster.folder().join("data"), cluster.folder().join("copy"));
        cluster.stop(Shutdown::Fast).expect("ours");
        copy_files(&data, &copy);
        cluster.resume().expect("starts");
        // More log than the cluster writes by itself before it is looked at again.
        database.execute("insert into things select generate_series(2, 5000)").await;
        assert_eq!(follower.transaction().await.len(), 4999);
        cluster.stop(Shutdown::Fast).expect("ours");
        std::fs::remove_dir_all(&data).and_then(|()| std::fs::rename(&copy, &data)).expect("ours");
        cluster.resume().expect("starts");
        assert_eq!(follower.reset().await, Reason::LogWentBack);
        database.execute("insert into things values (2)").await;
        // Nothing was known any more, so what the slot still holds comes before it.
        let mut story = follower.story().await;
        if story == ["+ things (1)"] {
            story = follower.story().await;
        }
        assert_eq!(story, ["+ things (2)"]);
        follower.stop().await.expect("stops");
    });
}
