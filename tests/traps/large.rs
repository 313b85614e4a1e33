//! Rows and transactions of a size that nobody expects.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::Live;
use crate::fixture::{Database, eventually, scenario};
use crate::server::Server;

const ROW_BYTES: usize = 100 * 1024 * 1024;

#[test]
fn a_row_of_100_mb_arrives_whole() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute("create table blobs (id int primary key, body text)").await;
        let limit = [
            ("hub.transaction_bytes", "268435456"),
            ("journal.memory_bytes", "268435456"),
            ("source.wal_sender_timeout_ms", "60000"),
        ];
        let server = Server::start_with(&database, &limit).await;
        let mut live = Live::table(&server, "blobs").await.patient();
        let mut id_only =
            Live::open(&server, json!({"table": "blobs", "columns": ["id"], "snapshot": true})).await;
        database.execute(&format!("insert into blobs values (1, repeat('x', {ROW_BYTES}))")).await;
        live.until_count(1).await;
        assert_eq!(live.types(), ["changes"]);
        assert_eq!(live.shown(&["body"]).len(), ROW_BYTES);
        drop(live);
        id_only.settle(&database).await;
        assert_eq!(id_only.shown(&["id"]), "1");
        let read = Live::table(&server, "blobs").await;
        assert_eq!(read.shown(&["body"]).len(), ROW_BYTES);
    });
}

#[test]
fn a_row_over_the_limit_is_a_resync_and_arrives_with_the_snapshot() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute("create table blobs (id int primary key, body text)").await;
        let server = Server::start_with(&database, &[("source.wal_sender_timeout_ms", "60000")]).await;
        let mut live = Live::table(&server, "blobs").await.patient();
        database.execute(&format!("insert into blobs values (1, repeat('x', {ROW_BYTES}))")).await;
        live.resynced("large_transaction").await;
        assert_eq!(live.shown(&["body"]).len(), ROW_BYTES);
        database.execute("insert into blobs values (2, 'y')").await;
        live.until_count(2).await;
    });
}

#[test]
fn a_transaction_over_the_limit_concerns_only_the_shapes_that_it_touches() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table cards (id int primary key, board int, body text);
                 alter table cards replica identity full;
                 create table others (id int primary key);
                 insert into cards values (0, 2, '');",
            )
            .await;
        let server = Server::start_with(
            &database,
            &[("hub.transaction_bytes", "100000"), ("source.chunk_bytes", "50000")],
        )
        .await;
        let mut touched = Live::filtered(&server, "cards", "board = 1").await;
        let mut left = Live::filtered(&server, "cards", "board = 2 and body = 'y'").await;
        let mut entered = Live::filtered(&server, "cards", "board = 3").await;
        let mut others = Live::table(&server, "others").await;
        let mut channel = Live::channel(&server, "done").await;
        database
            .execute(
                "begin;
                 insert into cards select i, 1, repeat('x', 100) from generate_series(1, 3000) i;
                 update cards set board = 3 where id = 0;
                 select pg_logical_emit_message(true, 'tidegate:undone', '1');
                 commit",
            )
            .await;
        touched.resynced("large_transaction").await;
        assert_eq!(touched.count(), 3000);
        entered.resynced("large_transaction").await;
        assert_eq!(entered.shown(&["id"]), "0");
        database
            .execute(
                "insert into cards values (-1, 2, 'y');
                 insert into others values (1);
                 select pg_logical_emit_message(true, 'tidegate:done', '1')",
            )
            .await;
        for (live, types) in
            [(&mut left, ["changes"]), (&mut others, ["changes"]), (&mut channel, ["events"])]
        {
            live.settle(&database).await;
            assert_eq!(live.types(), types, "who is not concerned sees nothing of it");
        }
        database.execute("update cards set board = 2 where id = 1").await;
        touched.settle(&database).await;
        assert_eq!(touched.count(), 2999);
    });
}

/// The program in a process of its own, whose memory can be told.
struct Program {
    child: Child,
    address: SocketAddr,
}

impl Program {
    async fn start(database: &Database) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("there are free ports");
        let child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .arg("serve")
            .env("TIDEGATE__POSTGRES__URL", database.url())
            .env("TIDEGATE__POSTGRES__SLOT", database.slot())
            .env("TIDEGATE__POSTGRES__PUBLICATION", database.publication())
            .env("TIDEGATE__HTTP__LISTEN", address.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the program is built");
        let program = Self { child, address };
        eventually("it is ready", async || {
            let mut stream = TcpStream::connect(address).await.ok()?;
            let request = b"GET /readyz HTTP/1.0\r\nhost: localhost\r\n\r\n";
            stream.write_all(request).await.ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok()?;
            answer.contains(" 200 ").then_some(())
        })
        .await;
        program
    }

    /// The most that it has held in memory so far.
    fn peak_bytes(&self) -> usize {
        let pid = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells it");
        let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }
}

#[test]
fn a_transaction_of_a_million_rows_passes_with_bounded_memory() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute("create table numbers (id int primary key, body text)").await;
        let program = Program::start(&database).await;
        let numbers = |filter: &str| json!({"table": "numbers", "where": filter, "snapshot": true});
        let mut none = Live::open_at(program.address, numbers("id < 0")).await.patient();
        let mut one = Live::open_at(program.address, numbers("id = 500000")).await.patient();
        let before = program.peak_bytes();
        database
            .execute(
                "insert into numbers select i, 'a row of some length' from generate_series(1, 1000000) i",
            )
            .await;
        one.resynced("large_transaction").await;
        assert_eq!(one.shown(&["id"]), "500000");
        none.settle(&database).await;
        assert_eq!(none.types(), Vec::<&str>::new());
        // The limits: 64 MiB of journal, 32 MiB of one transaction, and what is on its way between them.
        let gained = program.peak_bytes() - before;
        assert!(gained < 256 * 1024 * 1024, "{} MiB", gained >> 20);
        println!("a million rows took {} MiB", gained >> 20);
    });
}
