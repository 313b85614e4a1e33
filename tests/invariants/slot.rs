//! Invariant 3: the slot trails the journal.

use tidegate::event::Lsn;
use tokio::time::Instant;

use super::{A_WHILE, CARDS, Reader, Released, cards, insert_lsn};
use crate::fixture::{Database, eventually, private, scenario};
use crate::server::Server;

/// Reports to PostgreSQL are frequent, so that one that said too much would show.
const TALKATIVE: [(&str, &str); 2] = [("source.heartbeat_ms", "100"), ("source.status_interval_ms", "100")];

#[test]
fn the_slot_trails_the_journal() {
    scenario(async |_| {
        let cluster = private(&[]);
        let database = Database::create_on(cluster.address()).await;
        database.execute(CARDS).await;
        let server = Server::start_with(&database, &TALKATIVE).await;
        let mut reader = Reader::live(&server, cards()).await;
        let _released = Released(&cluster);
        let (writer, observer) = (database.client().await, database.client().await);
        cluster.reconfigure(&[("synchronous_standby_names".into(), "nobody".into())]).expect("takes it");
        eventually("the setting is in force", async || {
            let row = writer.query_one("show synchronous_standby_names", &[]).await.expect("up");
            (row.get::<_, &str>(0) == "nobody").then_some(())
        })
        .await;
        let slot = format!(
            "select r.sent_lsn::text, s.confirmed_flush_lsn::text, (s.confirmed_flush_lsn <= $1::text::pg_lsn)
             from pg_replication_slots s
             join pg_stat_replication r on r.pid = s.active_pid
             where s.slot_name = '{}'",
            database.slot()
        );
        let before = insert_lsn(&database).await;
        let insert = writer.batch_execute("insert into cards values (1, 1, 1, null)");
        let watched = async {
            // The source has it, and so have we reported many times since; the journal must not have it, since
            // nobody can read it yet.
            let until = Instant::now() + A_WHILE;
            let mut sent = Lsn::ZERO;
            while Instant::now() < until || sent <= before {
                let row = observer.query_one(&slot, &[&before.to_string()]).await.expect("up");
                sent = row.get::<_, &str>(0).parse().expect("a position");
                assert!(row.get::<_, bool>(2), "{} is confirmed, beyond {before}", row.get::<_, &str>(1));
            }
            cluster.reconfigure(&[("synchronous_standby_names".into(), String::new())]).expect("takes it");
        };
        let (inserted, ()) = tokio::join!(insert, watched);
        inserted.expect("the standby is no longer waited for");
        reader.until(|mirror| mirror.rows().len() == 1).await;
        let told = reader.mirror.last_lsn();
        eventually("the slot follows", async || {
            let row = observer.query_one(&slot, &[&told.to_string()]).await.expect("up");
            (!row.get::<_, bool>(2)).then_some(())
        })
        .await;
    });
}

#[test]
fn the_slot_moves_on_a_quiet_database() {
    scenario(async |test| {
        let database = test.database().await;
        database.execute(CARDS).await;
        database.execute("create table elsewhere (id int)").await;
        let settings = [
            ("source.heartbeat_ms", "200"),
            ("source.status_interval_ms", "100"),
            ("postgres.tables", r#"["public.cards"]"#),
        ];
        let server = Server::start_with(&database, &settings).await;
        let _reader = Reader::live(&server, cards()).await;
        database.execute("insert into elsewhere select generate_series(1, 1000)").await;
        let lsn = insert_lsn(&database).await;
        let confirmed = format!(
            "select count(*) from pg_replication_slots
             where slot_name = '{}' and confirmed_flush_lsn >= '{lsn}'",
            database.slot()
        );
        eventually("the slot has moved", async || (database.number(&confirmed).await == 1).then_some(()))
            .await;
    });
}
