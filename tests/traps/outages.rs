//! What is done to the cluster under a running server: its slot taken away, its transaction numbers starting over.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tidegate::cli::demo::cluster::{Binaries, Cluster, Shutdown};

use super::Live;
use crate::fixture::{Database, eventually, private, scenario};
use crate::server::Server;

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

fn reset_wal(data: &Path, owner: &fs::Metadata, next: u32) {
    let binaries = std::env::var_os("TIDEGATE_TEST_POSTGRES_BIN").map(PathBuf::from);
    let binaries = Binaries::find(binaries.as_deref()).expect("installed");
    let mut command = Command::new(binaries.folder().join("pg_resetwal"));
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
