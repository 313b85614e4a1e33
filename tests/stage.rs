//! A server with a bystander: a second client that must miss nothing, whatever the first one does.
//!
//! ```text
//!  writer ──commits──▶ public.steady ──▶ server ──▶ bystander's mirror   at the end equal to the table, never resynced
//!  test   ──bad input, slowness, noise──▶ server
//! ```

mod raw;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate::event::Lsn;
use tokio::task::JoinHandle;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, Mirror};
use crate::fixture::{Database, Test, eventually, scenario};
use crate::server::Server;

pub(crate) use raw::{Raw, Response, payload_frame};

/// How often the steady writer commits.
const PACE: Duration = Duration::from_millis(4);
/// The table that most tests subscribe to.
const ENTRIES: &str = "
    create table public.entries (
        id bigint primary key,
        board_id int not null,
        title text,
        status text not null default 'open',
        meta jsonb,
        tags text[]
    );
    alter table public.entries replica identity full;
    create table public.steady (id bigint primary key, n int not null, note text not null);
    insert into public.steady select n, 0, 'before' from generate_series(1, 50) n;";

/// A server on a database of its own, with a bystander.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) database: Database,
    stop: CancellationToken,
    writer: Option<JoinHandle<()>>,
    bystander: Option<JoinHandle<(Client, Mirror)>>,
}

/// Runs `body` beside a bystander, who at the end has seen everything and no resync.
pub(crate) fn staged(settings: &[(&str, &str)], body: impl AsyncFnOnce(&Test, &Stage)) {
    scenario(async |test| {
        let stage = Stage::open(test, settings).await;
        body(test, &stage).await;
        stage.close().await;
    });
}

impl Stage {
    pub(crate) async fn open(test: &Test, settings: &[(&str, &str)]) -> Self {
        let database = test.database().await;
        database.execute(ENTRIES).await;
        let server = Server::start_with(&database, settings).await;
        let stop = CancellationToken::new();
        let mut client = Client::connect(server.address()).await;
        let mut mirror = Mirror::new("bystander", json!({"table": "public.steady"}));
        client.send(&mirror.request()).await;
        while !mirror.is_live() {
            mirror.apply(&client.next().await.expect("the bystander's connection lives"));
        }
        let writer = spawn(write(database.client().await, stop.clone()));
        let bystander = spawn(watch(client, mirror, stop.clone()));
        Self { server, database, stop, writer: Some(writer), bystander: Some(bystander) }
    }

    /// A new client.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.server.address()).await
    }

    /// A new client that sent one `subscribe`, and the answer.
    pub(crate) async fn subscribed(&self, fields: Value) -> (Client, Value) {
        let mut client = self.client().await;
        client.subscribe(fields).await;
        let answer = client.expect("subscribed").await;
        (client, answer)
    }

    /// A raw connection.
    pub(crate) async fn raw(&self) -> Raw {
        Raw::connect(self.server.address()).await
    }

    /// How far the log is written.
    pub(crate) async fn lsn(&self) -> Lsn {
        lsn(&self.database).await
    }

    /// Stops the writer, and holds the bystander to what the table has.
    pub(crate) async fn close(mut self) {
        let before = steady(&self.database).await;
        let goes_on = async || (steady(&self.database).await != before).then_some(());
        eventually("the bystander has something to see", goes_on).await;
        self.stop.cancel();
        let (writer, bystander) = (self.writer.take(), self.bystander.take());
        writer.expect("closed once").await.expect("the writer does not panic");
        let (mut client, mut mirror) =
            bystander.expect("closed once").await.expect("the bystander's mirror holds to the protocol");
        client
            .await_lsn(self.lsn().await, |frame| {
                mirror.apply(frame);
            })
            .await;
        assert_eq!(mirror.rows(), &steady(&self.database).await, "the bystander missed something");
        assert!(mirror.resyncs.is_empty(), "the bystander was disturbed: {:?}", mirror.resyncs);
        assert!(mirror.transactions > 0, "the bystander saw nothing: the test was too short");
        self.server.stop().await;
    }
}

/// How far the log of a database's server is written.
pub(crate) async fn lsn(database: &Database) -> Lsn {
    let query = "select pg_current_wal_lsn()::text";
    let row = database.client().await.query_one(query, &[]).await.expect("the server is up");
    row.get::<_, &str>(0).parse().expect("a position")
}

/// Commits at a steady pace: updates, key changes, deletes and inserts.
async fn write(client: tokio_postgres::Client, stop: CancellationToken) {
    let mut ticks = interval(PACE);
    let mut round = 0_i32;
    while !stop.is_cancelled() {
        ticks.tick().await;
        round += 1;
        let id = i64::from(round % 50 + 1);
        let sql = match round % 5 {
            0 => format!("delete from public.steady where id = {id}"),
            1 => format!("insert into public.steady values ({}, 1, 'new')", 100 + round),
            2 => format!("update public.steady set id = {} where id = {id}", 1_000_000 + round),
            3 => format!("insert into public.steady values ({id}, 2, 'back') on conflict do nothing"),
            _ => format!("update public.steady set n = {round}, note = 'round {round}' where id >= {id}"),
        };
        client.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
}

async fn watch(mut client: Client, mut mirror: Mirror, stop: CancellationToken) -> (Client, Mirror) {
    loop {
        tokio::select! {
            biased;
            // Whatever is left is read by whoever stopped it.
            () = stop.cancelled() => return (client, mirror),
            frame = client.next_within(Duration::MAX) => {
                let frame = frame.expect("waits for ever").expect("the bystander's connection lives");
                mirror.apply(&frame);
            }
        }
    }
}

async fn steady(database: &Database) -> BTreeMap<String, Value> {
    let query = "select id::text, n, note from public.steady";
    let rows = database.client().await.query(query, &[]).await.expect("the table is there");
    let row = |row: &tokio_postgres::Row| {
        let (id, n, note): (&str, i32, &str) = (row.get(0), row.get(1), row.get(2));
        (json!({"id": id}).to_string(), json!({"id": id, "n": n, "note": note}))
    };
    rows.iter().map(row).collect()
}

#[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
pub(crate) fn spawn<F>(task: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(task)
}
