//! Counters that go up by one with each commit: whoever is told of one has been told of all before it.
//!
//! Rows that are overwritten forgive a change that was lost; a counter does not. So this is the test of the moment in
//! which a snapshot ends and the stream begins, taken thousands of times under commits that never pause.

use std::net::SocketAddr;

use serde_json::json;
use tokio::task::JoinSet;
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, Mirror, Told};
use crate::fixture::Database;
use crate::server::Server;

/// The server follows these alone.
pub(crate) const TABLES: [(&str, &str); 1] = [("postgres.tables", r#"["public.counters"]"#)];
/// Counters, and sessions that commit: one each.
const WRITERS: i32 = 4;
const READERS: u64 = 4;
/// How many transactions a reader stays for, at most.
const STAY: u64 = 12;

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    pub(crate) commits: u64,
    pub(crate) snapshots: usize,
    pub(crate) resumes: usize,
    /// Steps from one value of a counter to the next that readers were told of.
    pub(crate) steps: u64,
}

pub(crate) struct Counting {
    writers: JoinSet<u64>,
    readers: JoinSet<(Mirror, u64)>,
    stop: CancellationToken,
}

pub(crate) async fn prepare(database: &Database) {
    let schema = "create table counters (id int primary key, n bigint not null);
        alter table counters replica identity full;";
    database.execute(schema).await;
    database.execute(&format!("insert into counters select i, 0 from generate_series(1, {WRITERS}) i")).await;
}

impl Counting {
    pub(crate) fn start(database: &Database, server: &Server) -> Self {
        let stop = CancellationToken::new();
        let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
        for counter in 1..=WRITERS {
            writers.spawn(write(database.url(), counter, stop.clone()));
        }
        for _ in 0..READERS {
            readers.spawn(read(server.address(), stop.clone()));
        }
        Self { writers, readers, stop }
    }

    pub(crate) async fn finish(mut self) -> Sum {
        self.stop.cancel();
        let mut sum = Sum::default();
        while let Some(commits) = self.writers.join_next().await {
            sum.commits += commits.expect("writers do not fail");
        }
        while let Some(reader) = self.readers.join_next().await {
            let (mirror, steps) = reader.expect("readers find no fault");
            assert!(mirror.resyncs.is_empty(), "nothing went wrong: {:?}", mirror.resyncs);
            sum.snapshots += mirror.snapshots;
            sum.resumes += mirror.resumes;
            sum.steps += steps;
        }
        sum
    }
}

/// Counts one counter up, a commit each.
async fn write(url: String, counter: i32, stop: CancellationToken) -> u64 {
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("up");
    let count = format!(
        "do $$ begin for step in 1..50 loop
             update counters set n = n + 1 where id = {counter}; commit; perform pg_sleep(0.001);
         end loop; end $$"
    );
    let writing = async {
        client.batch_execute("set synchronous_commit = off").await.expect("up");
        let mut commits = 0;
        while !stop.is_cancelled() {
            client.batch_execute(&count).await.expect("up");
            commits += 50;
        }
        commits
    };
    tokio::select! {
        commits = writing => commits,
        ended = connection => panic!("the connection ended: {ended:?}"),
    }
}

/// Comes and goes, with a snapshot or a cursor, and checks every step.
async fn read(address: SocketAddr, stop: CancellationToken) -> (Mirror, u64) {
    let mut mirror = Mirror::new("n", json!({"table": "public.counters"}));
    let mut steps = 0;
    while !stop.is_cancelled() {
        if fastrand::u32(..4) > 0 {
            mirror.forget_cursor();
        }
        let mut client = Client::connect(address).await;
        client.send(&mirror.request()).await;
        for _ in 0..fastrand::u64(1..=STAY) {
            let told = loop {
                let frame = client.next().await.expect("the connection lives");
                if let Some(told) = mirror.apply(&frame) {
                    break told;
                }
            };
            steps += check(&told);
        }
        client.cut();
        mirror.cut();
    }
    (mirror, steps)
}

/// How many steps there were, each of them by one.
fn check(told: &Told) -> u64 {
    let number = |row: &serde_json::Value| -> i64 {
        row["n"].as_str().expect("a number as text").parse().expect("digits")
    };
    let mut steps = 0;
    for change in &told.changes {
        let before = change.before.as_ref().expect("counters are there from the start");
        let after = change.after.as_ref().expect("counters stay");
        let (before, after) = (number(before), number(after));
        assert_eq!(after, before + 1, "counter {} at {}", change.key["id"], told.lsn);
        steps += 1;
    }
    steps
}
