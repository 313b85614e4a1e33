//! What is done to the cluster under a running server: its slot taken away, another cluster put in its place, its
//! transaction numbers starting over.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tidegate::cli::demo::cluster::{Binaries, Cluster, Shutdown};

use tokio_postgres::{Client, NoTls};

use super::Live;
use crate::fixture::{Database, Test, copy_files, eventually, private, scenario};
use crate::server::Server;
use crate::stage::spawn;

#[test]
fn a_slot_dropped_under_the_server_is_a_new_start_for_everyone() {
    scenario(async |test| {
        for line in [
            "no stream from PostgreSQL",
            "changes may have been missed",
            "what was known of the rows is void",
        ] {
            test.expect_in_log(line);
        }
        let database = test.database().await;
        database
            .execute(
                "create table notes (id int primary key);
                 create table others (id int primary key);",
            )
            .await;
        let server = Server::start(&database).await;
        let mut notes = Live::table(&server, "notes").await;
        let mut others = Live::table(&server, "others").await;
        let mut channel = Live::channel(&server, "news").await;
        let resets = async || {
            let (_, metrics) = server.get("/metrics").await.expect("the server answers");
            let lines = metrics.lines().filter(|line| line.starts_with("tidegate_source_resets_total{"));
            let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
            values.sum::<f64>()
        };
        let before = resets().await;
        let admin = database.client().await;
        eventually("the slot is dropped", async || {
            let sql = "select pg_terminate_backend(active_pid, 5000) from pg_replication_slots
                        where slot_name = $1 and active_pid is not null";
            admin.query(sql, &[&database.slot()]).await.expect("the superuser may");
            let sql =
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1";
            admin.query(sql, &[&database.slot()]).await.ok().map(drop)
        })
        .await;
        // Of this nobody could tell.
        database.execute("insert into notes values (1)").await;
        notes.resynced("source_reset").await;
        others.resynced("source_reset").await;
        assert_eq!(channel.until("resync").await["reason"], "source_reset");
        assert_eq!(notes.shown(&["id"]), "1");
        assert!(resets().await > before);
        assert!(test.logged("WARN"));
        database
            .execute(
                "insert into notes values (2);
                 select pg_logical_emit_message(true, 'tidegate:news', '1')",
            )
            .await;
        notes.settle(&database).await;
        assert_eq!(notes.shown(&["id"]), "1, 2");
        channel.until("events").await;
    });
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("up");
    // It ends with its client, or with the cluster.
    spawn(async { _ = connection.await });
    client
}

/// Uses up so many transaction numbers.
async fn spend(client: &Client, transactions: u32) {
    let sql = format!(
        "do $$ begin for i in 1..{transactions} loop perform pg_current_xact_id(); commit; end loop; end $$"
    );
    client.batch_execute(&sql).await.expect("may");
}

const NOTES: &str = "create table notes (id int primary key, body text)";

/// Has every commit wait for a standby that never comes.
async fn hold_commits_back(cluster: &Cluster, database: &Database) {
    cluster.reconfigure(&[("synchronous_standby_names".into(), "nobody".into())]).expect("takes it");
    let admin = database.client().await;
    eventually("commits wait for a standby", async || {
        let row = admin.query_one("show synchronous_standby_names", &[]).await.expect("up");
        (row.get::<_, &str>(0) == "nobody").then_some(())
    })
    .await;
}

/// A stopped cluster with a database of the same name, as restored from a dump.
async fn restored(database: &Database, spent: u32) -> Cluster {
    let mut cluster = private(&[]);
    let admin = connect(&cluster.url("postgres")).await;
    admin.batch_execute(&format!("create database {}", database.name())).await.expect("may");
    let client = connect(&cluster.url(database.name())).await;
    client.batch_execute(NOTES).await.expect("may");
    client.batch_execute("insert into notes values (2, 'restored')").await.expect("may");
    spend(&client, spent).await;
    cluster.stop(Shutdown::Fast).expect("it stops");
    cluster
}

/// While the server waits for PostgreSQL to show a commit, puts another cluster with the same tables in its place.
/// Beforehand each uses up so many transaction numbers.
async fn cut_over(test: &Test, spent: u32, spent_by_other: u32) {
    for line in [
        "no stream from PostgreSQL",
        "cannot ask which transactions are visible",
        "PostgreSQL is another cluster",
        "changes may have been missed",
        "what was known of the rows is void",
        "a snapshot could not be read",
    ] {
        test.expect_in_log(line);
    }
    let mut cluster = private(&[]);
    let database = Database::create_on(cluster.address()).await;
    database.execute(NOTES).await;
    spend(&database.client().await, spent).await;
    let other = restored(&database, spent_by_other).await;
    let server = Server::start(&database).await;
    let mut notes = Live::table(&server, "notes").await;

    hold_commits_back(&cluster, &database).await;
    let asked = async || server.metric("tidegate_relay_visibility_queries_total").await;
    let before = asked().await;
    let writer = database.client().await;
    // It ends with the cluster.
    spawn(async move { writer.batch_execute("insert into notes values (1, 'never shown')").await });
    eventually("the server waits for it", async || (asked().await > before + 5.0).then_some(())).await;
    cluster.kill().expect("ours");
    let data = cluster.folder().join("data");
    fs::remove_dir_all(&data).expect("ours");
    copy_files(&other.folder().join("data"), &data);
    cluster.reconfigure(&[]).expect("ours");
    cluster.resume().expect("it starts");

    // The other cluster's catalog may be read before its stream is open. A client that is told so, and has its rows only
    // afterwards, need not start over twice.
    let reason = notes.until("resync").await["reason"].clone();
    assert!(["source_reset", "schema_changed"].iter().any(|known| reason == *known), "{reason}");
    notes.until_shown(&["id", "body"], "2 restored").await;
    let resets = "tidegate_source_resets_total{reason=\"system_changed\"}";
    eventually("it is another life", async || (server.metric(resets).await >= 1.0).then_some(())).await;
    assert!(notes.changes().is_empty(), "what was never shown is never told: {:?}", notes.changes());
    database.execute("insert into notes values (3, 'later')").await;
    notes.settle(&database).await;
    assert_eq!(notes.shown(&["id", "body"]), "2 restored, 3 later");
}

#[test]
fn a_commit_that_no_server_will_ever_show_is_not_waited_for_once_another_cluster_has_taken_over() {
    scenario(async |test| cut_over(test, 5000, 0).await);
}

#[test]
fn a_commit_is_not_told_because_another_cluster_has_used_up_its_number() {
    scenario(async |test| cut_over(test, 0, 5000).await);
}

/// Transactions in one file of the commit log, and its bytes: two bits each.
const TRANSACTIONS: u32 = 1 << 20;
const FILE_BYTES: u64 = 1 << 18;

/// Has the next transaction be number `next`, which is at most 2^31 away.
async fn jump(cluster: &mut Cluster, next: u32) {
    let admin = cluster.url("postgres");
    let database = async |sql: &str, url: &str| {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("up");
        tokio::select! {
            done = client.batch_execute(sql) => done.unwrap_or_else(|error| panic!("{sql}: {error:?}")),
            _ = connection => panic!("the connection ended"),
        }
    };
    database("update pg_database set datallowconn = true", &admin).await;
    for name in ["template0", "template1", "postgres"] {
        database("vacuum freeze", &cluster.url(name)).await;
    }
    cluster.stop(Shutdown::Fast).expect("it stops");
    let data: PathBuf = cluster.folder().join("data");
    let owner = fs::metadata(&data).expect("there");
    let log = data.join("pg_xact").join(format!("{:04X}", next / TRANSACTIONS));
    if !log.exists() {
        File::create(&log).and_then(|file| file.set_len(FILE_BYTES)).expect("ours to write");
        chown(&log, Some(owner.uid()), Some(owner.gid())).expect("ours to give");
    }
    reset_wal(&data, &owner, next);
    cluster.resume().expect("it starts");
}

/// PostgreSQL's own program for what no running server does; the builds that npm carries are without it.
fn pg_resetwal() -> Option<PathBuf> {
    let binaries = std::env::var_os("TIDEGATE_TEST_POSTGRES_BIN").map(PathBuf::from);
    let binaries = Binaries::find(binaries.as_deref()).expect("installed");
    Some(binaries.folder().join("pg_resetwal")).filter(|program| program.exists())
}

fn reset_wal(data: &Path, owner: &fs::Metadata, next: u32) {
    let mut command = Command::new(pg_resetwal().expect("looked for before"));
    command.arg("-x").arg(next.to_string()).arg("-D").arg(data).current_dir("/");
    if rustix::process::geteuid().is_root() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    let output = command.output().expect("installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The numbers of transactions that a client was told.
fn transactions(live: &Live) -> Vec<u32> {
    let told = live.seen.iter().filter_map(|frame| frame["tx"]["id"].as_str());
    told.map(|id| id.parse().expect("a number")).collect()
}

#[test]
fn nothing_is_lost_or_repeated_where_transaction_numbers_of_32_bits_start_over() {
    scenario(async |_| {
        if pg_resetwal().is_none() {
            println!("not run: this build of PostgreSQL comes without pg_resetwal");
            return;
        }
        let mut cluster = private(&[("autovacuum", "off")]);
        for next in [1_500_000_000, 3_000_000_000, u32::MAX - 400] {
            jump(&mut cluster, next).await;
        }
        let database = Database::create_on(cluster.address()).await;
        database
            .execute(
                "create table notes (id int primary key, n int); alter table notes replica identity full",
            )
            .await;
        let server = Server::start(&database).await;
        let mut all = Live::table(&server, "notes").await;
        let writer = database.client().await;
        let open = database.client().await;
        open.batch_execute("begin; insert into notes values (-1, 0)").await.expect("may");
        let mut joined = Vec::new();
        for id in 0..800 {
            let sql =
                format!("insert into notes values ({id}, 0); update notes set n = {id} where id = {id} / 2");
            writer.batch_execute(&sql).await.expect("may");
            if id % 100 == 50 {
                joined.push(Live::filtered(&server, "notes", "n > 100 or id > 700").await);
            }
        }
        open.batch_execute("commit").await.expect("may");
        all.settle(&database).await;
        assert_eq!(all.count(), 801);
        let told = transactions(&all);
        assert!(
            told.iter().any(|xid| *xid > u32::MAX - 1000) && told.iter().any(|xid| *xid < 1000),
            "{told:?}"
        );
        let held = Live::table(&server, "notes").await;
        assert_eq!(all.shown(&["id", "n"]), held.shown(&["id", "n"]));
        let held = Live::filtered(&server, "notes", "n > 100 or id > 700").await;
        for mut live in joined {
            live.settle(&database).await;
            assert_eq!(live.shown(&["id", "n"]), held.shown(&["id", "n"]));
        }
    });
}
