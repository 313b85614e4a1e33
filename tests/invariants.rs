//! The invariants of `docs/architecture.md`, each under its name; `seam` holds them under load.
//!
//! The ninth (who may see is PostgreSQL's word) comes with policies, and the journal's restart with RabbitMQ.

mod bounds;
mod slot;

use std::time::Duration;

use serde_json::{Value, json};
use tidegate::cli::demo::cluster::Cluster;
use tidegate::event::Lsn;

use crate::client::{Client, Mirror};
use crate::fixture::{Database, eventually, private, scenario};
use crate::server::Server;

const CARDS: &str =
    "create table cards (id bigint primary key, board int not null, version bigint not null, body text);
                     alter table cards replica identity full;";
/// Long beside what a change takes from commit to client.
const A_WHILE: Duration = Duration::from_millis(400);

/// A subscription that is live, on a socket of its own.
struct Reader {
    client: Client,
    mirror: Mirror,
}

impl Reader {
    async fn live(server: &Server, fields: Value) -> Self {
        let mut reader = Self::asking(server, fields).await;
        reader.until(Mirror::is_live).await;
        reader
    }

    /// One that has sent its request and read nothing yet.
    async fn asking(server: &Server, fields: Value) -> Self {
        let mut reader =
            Self { client: Client::connect(server.address()).await, mirror: Mirror::new("it", fields) };
        reader.client.send(&reader.mirror.request()).await;
        reader
    }

    async fn until(&mut self, reached: impl Fn(&Mirror) -> bool) {
        while !reached(&self.mirror) {
            let frame = self.client.next().await.expect("the connection lives");
            self.mirror.apply(&frame);
        }
    }

    /// Reads everything that has been committed by now.
    async fn catch_up(&mut self, database: &Database) {
        let lsn = insert_lsn(database).await;
        let mirror = &mut self.mirror;
        self.client
            .await_lsn(lsn, |frame| {
                mirror.apply(frame);
            })
            .await;
    }

    fn ids(&self) -> Vec<i64> {
        let mut ids: Vec<i64> = self
            .mirror
            .rows()
            .values()
            .map(|row| row["id"].as_str().expect("text").parse().expect("a number"))
            .collect();
        ids.sort_unstable();
        ids
    }
}

async fn insert_lsn(database: &Database) -> Lsn {
    let client = database.client().await;
    let row = client.query_one("select pg_current_wal_insert_lsn()::text", &[]).await.expect("up");
    row.get::<_, &str>(0).parse().expect("a position")
}

fn cards() -> Value {
    json!({"table": "public.cards"})
}

#[test]
fn the_journal_is_the_wals_transactions_exactly_once_in_commit_order() {
    scenario(async |test| {
        test.expect_in_log("no stream from PostgreSQL");
        let database = test.database().await;
        database.execute(CARDS).await;
        let server = Server::start(&database).await;
        let mut reader = Reader::live(&server, cards()).await;
        let writer = database.client().await;
        let cut = format!(
            "select pg_terminate_backend(active_pid)
             from pg_replication_slots
             where slot_name = '{}'
               and active_pid is not null",
            database.slot()
        );
        for id in 1..=300 {
            let insert = format!("insert into cards values ({id}, 1, 1, null)");
            writer.batch_execute(&insert).await.expect("up");
            if id % 60 == 0 {
                writer.batch_execute(&cut).await.expect("up");
            }
        }
        reader.catch_up(&database).await;
        // The mirror has checked the order, and that nothing came twice.
        assert_eq!(reader.ids(), (1..=300).collect::<Vec<_>>());
        assert_eq!((reader.mirror.transactions, reader.mirror.snapshots), (300, 1));
    });
}

/// Commits wait for no standby any more once this is dropped: the test's database is removed without one.
struct Released<'a>(&'a Cluster);

impl Drop for Released<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.reconfigure(&[("synchronous_standby_names".into(), String::new())]) {
            eprintln!("commits still wait for a standby: {error}");
        }
    }
}

#[test]
fn nothing_enters_the_journal_before_postgresql_shows_it() {
    scenario(async |_| {
        let cluster = private(&[]);
        let database = Database::create_on(cluster.address()).await;
        database.execute(CARDS).await;
        let server = Server::start(&database).await;
        let mut reader = Reader::live(&server, cards()).await;
        let _released = Released(&cluster);
        let wait_for = |names: &str| {
            cluster.reconfigure(&[("synchronous_standby_names".into(), names.into())]).expect("takes it");
        };
        let writer = database.client().await;
        wait_for("nobody");
        eventually("the setting is in force", async || {
            let row = writer.query_one("show synchronous_standby_names", &[]).await.expect("up");
            (row.get::<_, &str>(0) == "nobody").then_some(())
        })
        .await;
        // Whether there is a standby to wait for, the checkpointer tells all others: once it has done this it has read it.
        writer.batch_execute("checkpoint").await.expect("the superuser may");
        let before = insert_lsn(&database).await;
        let insert = writer.batch_execute("insert into cards values (1, 1, 1, null)");
        let told = async {
            eventually("the commit has reached the walsender", async || {
                let sent = format!(
                    "select count(*) from pg_stat_replication where sent_lsn > '{before}' and application_name = 'tidegate'"
                );
                (database.number(&sent).await == 1).then_some(())
            })
            .await;
            let mut late = Reader::asking(&server, cards()).await;
            let (early, rows) =
                tokio::join!(reader.client.next_within(A_WHILE), late.client.expect("subscribed"));
            let told = matches!(&early, Some(Ok(frame)) if frame["type"] == "changes");
            assert!(!told, "told before anybody could read it: {early:?}");
            late.mirror.apply(&rows);
            wait_for("");
            late
        };
        let (inserted, mut late) = tokio::join!(insert, told);
        inserted.expect("the standby is no longer waited for");
        reader.until(|mirror| mirror.rows().len() == 1).await;
        // A snapshot that was taken meanwhile did not hold it, and its reader is told of it afterwards.
        late.until(|mirror| mirror.rows().len() == 1).await;
        assert_eq!((late.mirror.snapshots, late.mirror.transactions), (1, 1));
    });
}

#[test]
fn snapshot_and_stream_meet_without_a_seam() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute(CARDS).await;
        let server = Server::start(&database).await;
        let (open, other) = (database.client().await, database.client().await);
        open.batch_execute("begin; insert into cards values (1, 1, 1, null)").await.expect("up");
        other.batch_execute("begin; insert into cards values (2, 1, 1, null)").await.expect("up");
        database.execute("insert into cards values (3, 1, 1, null)").await;
        let mut reader = Reader::live(&server, cards()).await;
        assert_eq!(reader.ids(), [3]);
        // They began before the snapshot and commit after it, the later one first.
        other.batch_execute("commit").await.expect("up");
        open.batch_execute("commit").await.expect("up");
        reader.until(|mirror| mirror.transactions == 2).await;
        assert_eq!(reader.ids(), [1, 2, 3]);
        reader.catch_up(&database).await;
        assert_eq!(reader.mirror.transactions, 2);
    });
}

#[test]
fn a_client_sees_the_ends_of_transactions() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute(CARDS).await;
        database.execute("insert into cards select i, i, 1, 'x' from generate_series(1, 4) i").await;
        let server = Server::start(&database).await;
        let mut reader =
            Reader::live(&server, json!({"table": "public.cards", "where": "board in (1, 2)"})).await;
        assert_eq!(reader.ids(), [1, 2]);
        let transaction = "begin;
             update cards set board = 9 where id = 1; update cards set board = 1, version = 2 where id = 1;
             update cards set board = 3 where id = 2;
             update cards set board = 1 where id = 3;
             update cards set board = 5 where id = 4;
             insert into cards values (5, 1, 1, null); delete from cards where id = 5;
             savepoint s; insert into cards values (6, 1, 1, null); rollback to s;
             delete from cards where id = 3; insert into cards values (3, 2, 7, null);
             update cards set id = 7, board = 2 where id = 4;
             commit;";
        database.execute(transaction).await;
        let told = loop {
            let frame = reader.client.next().await.expect("alive");
            if let Some(told) = reader.mirror.apply(&frame) {
                break told;
            }
        };
        let mut story: Vec<String> = told
            .changes
            .iter()
            .map(|change| {
                let version =
                    |row: &Option<Value>| row.as_ref().map_or("-".into(), |row| row["version"].to_string());
                format!("{} {} {}", change.key["id"], version(&change.before), version(&change.after))
            })
            .collect();
        story.sort();
        let expected = [r#""1" "1" "2""#, r#""2" "1" -"#, r#""3" - "7""#, r#""7" - "1""#];
        assert_eq!(story, expected);
        reader.catch_up(&database).await;
        assert_eq!((reader.ids(), reader.mirror.transactions), (vec![1, 3, 7], 1));
    });
}

#[test]
fn a_cursor_is_opaque_and_verifiable() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute(CARDS).await;
        database.execute("insert into cards values (1, 1, 1, null)").await;
        let mut server = Server::start(&database).await;
        let mut reader = Reader::live(&server, cards()).await;
        let request = reader.mirror.request();
        let expect = async |server: &Server, changed: Value, reason: &str| {
            let mut frame = request.clone();
            let fields = changed.as_object().expect("an object");
            frame.as_object_mut().expect("an object").extend(fields.clone());
            let mut client = Client::connect(server.address()).await;
            client.send(&frame).await;
            let resync = client.expect("resync").await;
            assert_eq!(resync["reason"], reason, "{changed}");
            client.expect("subscribed").await;
            let rows = client.expect("snapshot").await;
            assert_eq!(rows["rows"].as_array().map(Vec::len), Some(1));
        };
        let cursor = request["cursor"].as_str().expect("live");
        let mangled = format!("{}{}", &cursor[..4], cursor[4..].chars().rev().collect::<String>());
        expect(&server, json!({"cursor": "garbage"}), "cursor_invalid").await;
        expect(&server, json!({"cursor": mangled}), "cursor_invalid").await;
        expect(&server, json!({"shape": "0000"}), "schema_changed").await;
        expect(&server, json!({"where": "board = 1"}), "schema_changed").await;
        server.stop().await;
        server.resume().await;
        expect(&server, json!({}), "source_reset").await;
    });
}

/// Outboxes that are soon full.
const SMALL: [(&str, &str); 2] = [("session.outbox_bytes", "65536"), ("session.frame_bytes", "65536")];

/// Commits some megabytes for readers whose outboxes hold 64 KiB.
async fn flood(database: &Database) {
    for round in 0..40 {
        let rows = format!(
            "insert into cards select {round} * 100 + i, i % 3, 1, repeat('x', 4000) from generate_series(1, 100) i"
        );
        database.execute(&rows).await;
    }
}

#[test]
fn one_subscribers_failure_is_its_own() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute(CARDS).await;
        let server = Server::start(&database).await;
        let mut reader = Reader::live(&server, cards()).await;
        for bad in [
            json!({"type": "subscribe", "id": "a", "table": "public.nothing", "snapshot": true}),
            json!({"type": "subscribe", "id": "b", "table": "public.cards", "where": "bord = 1", "snapshot": true}),
            json!({"type": "subscribe", "id": "it", "table": "public.cards", "snapshot": true}),
            json!({"type": "subscribe", "id": "c", "table": "public.cards", "where": "board = $1", "params": ["x"]}),
            json!({"type": "dance"}),
        ] {
            reader.client.send(&bad).await;
            let error = reader.client.expect("error").await;
            assert!(error["message"].is_string(), "{bad}: {error}");
        }
        // One is cut in the middle of its snapshot, one in the middle of a frame.
        let mut gone = Client::connect(server.address()).await;
        gone.send(&Mirror::new("gone", cards()).request()).await;
        gone.cut();
        let mut half = Client::connect(server.address()).await;
        tokio::io::AsyncWriteExt::write_all(half.stream(), &[0x81, 0xFE, 0x01]).await.expect("open");
        half.cut();
        flood(&database).await;
        reader.catch_up(&database).await;
        assert_eq!((reader.ids().len(), reader.mirror.snapshots), (4_000, 1));
        assert!(reader.mirror.resyncs.is_empty());
    });
}

#[test]
fn the_hub_never_awaits_a_reader_that_has_stopped_reading() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute(CARDS).await;
        let server = Server::start_with(&database, &SMALL).await;
        let mut stalled = Vec::new();
        for _ in 0..10 {
            stalled.push(Reader::live(&server, cards()).await);
        }
        let mut reader = Reader::live(&server, json!({"table": "public.cards", "where": "board = 1"})).await;
        // The lively one reads everything while the others read nothing at all.
        let (last, ()) = tokio::join!(
            async {
                while reader.ids().len() < 40 * 33 {
                    let frame = reader.client.next().await.expect("alive");
                    reader.mirror.apply(&frame);
                }
                reader.ids().len()
            },
            flood(&database)
        );
        assert!(last >= 40 * 33, "{last}");
        assert!(stalled.iter().all(|reader| reader.mirror.transactions == 0));
    });
}
