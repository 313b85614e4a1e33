//! Much, large, and slow.

use std::time::Duration;

use tidegate::event::{Change, Datum};
use tidegate::source::{Config, Delivery};

use super::follower::{Follower, Seen, config, publish};
use crate::fixture::{eventually, scenario};

#[test]
fn a_transaction_of_a_million_rows_passes_in_chunks_of_bounded_size() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute("create table things (id int primary key, body text)").await;
        publish(&database).await;
        let (sender, mut deliveries) = tokio::sync::mpsc::channel(4);
        let (confirmed, receiver) = tokio::sync::watch::channel(tidegate::event::Lsn::ZERO);
        let configured = config(&database);
        let limit = configured.chunk_bytes;
        let reading = async {
            let mut rows = 0_u32;
            while rows < 1_000_000 {
                let delivery = deliveries.recv().await.expect("the source goes on");
                let Delivery::Chunk { first_index, changes, last, .. } = delivery else { continue };
                assert_eq!(first_index, rows);
                let bytes: usize = changes.iter().map(Change::size_bytes).sum();
                assert!(bytes <= limit, "a chunk of {bytes} bytes");
                rows += u32::try_from(changes.len()).expect("bounded");
                assert_eq!(last, rows == 1_000_000);
            }
            drop(deliveries);
        };
        let writing = database
            .execute("insert into things select id, 'body ' || id from generate_series(1, 1000000) id");
        let running = tidegate::source::run(configured, sender, receiver, std::future::pending());
        let (outcome, (), ()) = tokio::join!(running, reading, async {
            eventually("the slot is there", async || {
                let sql = format!(
                    "select count(*) from pg_replication_slots where slot_name = '{}' and active",
                    database.slot()
                );
                (database.number(&sql).await == 1).then_some(())
            })
            .await;
            writing.await;
        });
        outcome.expect("ends when nobody reads");
        drop(confirmed);
    });
}

#[test]
fn a_row_of_100_mb_passes() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create table things (id int primary key, body text);
                 alter table things alter body set storage external;
                 alter table things replica identity full;",
            )
            .await;
        publish(&database).await;
        let mut follower = Follower::open(config(&database)).await;
        database
            .execute(
                "begin;
                 insert into things values (1, repeat('0123456789', 10000000));
                 update things set id = 2;
                 commit;",
            )
            .await;
        let changes = follower.transaction().await;
        let [Change::Row(_), Change::Row(update)] = &changes[..] else { panic!("two rows") };
        let new = update.operation.new().expect("an update");
        let Some(Datum::Text(body)) = new.get(1) else { panic!("a text") };
        assert_eq!(body.len(), 100_000_000);
        assert!(body.chunks(10).all(|digits| digits == b"0123456789"));
        database.execute("delete from things; insert into things values (3, 'small')").await;
        let mut story = follower.story().await;
        story.extend(if story.len() == 1 { follower.story().await } else { Vec::new() });
        assert_eq!(story, ["- things full(2, 100000000 bytes)", "+ things (3, small)"]);
        follower.stop().await.expect("stops");
    });
}

#[test]
fn a_reader_slower_than_the_servers_patience_loses_nothing() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute("create table things (id int primary key, body text)").await;
        publish(&database).await;
        let impatient = Config { wal_sender_timeout: Duration::from_secs(1), ..config(&database) };
        let mut follower = Follower::start_with_room(impatient, 1);
        follower.opened().await;
        database
            .execute("insert into things select id, repeat('x', 100) from generate_series(1, 100000) id")
            .await;
        // Nothing is read meanwhile; the server hears of us all the same, three times as long as it would wait.
        let sql = format!(
            "select count(*)
             from pg_stat_replication r join pg_replication_slots s on s.active_pid = r.pid
             where s.slot_name = '{}' and r.reply_time > r.backend_start + interval '3 s'",
            database.slot()
        );
        eventually("the server hears of us", async || (database.number(&sql).await == 1).then_some(())).await;
        let changes = loop {
            match follower.next().await {
                Seen::Transaction { changes, .. } => break changes,
                Seen::Mark(_) => {}
                other => panic!("cut off: {other:?}"),
            }
        };
        assert_eq!(changes.len(), 100_000);
        follower.stop().await.expect("stops");
    });
}
