//! The seam: where a snapshot ends and the stream begins, and where one connection ends and the next one begins.
//!
//! ```text
//!  writers ──▶ PostgreSQL ──▶ server ──▶ readers that subscribe, cut, resume, and check what they are told
//!                  ▲             ▲
//!                  └─ trouble ───┘   a standby that lags, restarts, crashes, processes killed
//! ```
//!
//! [`Mirror`](crate::client::Mirror) fails on anything that is told twice, out of order, or of a row that is not there;
//! at the end every reader holds what PostgreSQL holds.

mod counting;
pub(crate) mod load;
mod reader;
mod standby;
mod writer;

use std::time::Duration;

use tidegate::cli::demo::cluster::{Cluster, Shutdown};
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep_until};

use crate::fixture::{Database, Test, eventually, private, scenario};
use crate::server::Server;
use counting::Counting;
use load::Load;
use standby::Standby;

/// Everything is on disk that PostgreSQL says is: for what crashes.
const DURABLE: [(&str, &str); 4] = [
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("wal_writer_delay", "500ms"),
    ("checkpoint_timeout", "30s"),
];

/// What the server rightly says of a PostgreSQL that goes away. That changes may have been missed is not among it.
const OUTAGE: [&str; 3] = [
    "no stream from PostgreSQL",
    "cannot ask which transactions are visible",
    "a snapshot could not be read",
];

fn allow(test: &Test, fragments: &[&str]) {
    for fragment in fragments {
        test.expect_in_log(fragment);
    }
}

/// How long a run lasts: `short`, or what `TIDEGATE_TEST_LONG` says in seconds.
#[expect(clippy::disallowed_methods, reason = "the tests' own switch")]
fn run_length(short: u64) -> Duration {
    let long = std::env::var("TIDEGATE_TEST_LONG").ok();
    let seconds = long.map_or(short, |text| text.parse().expect("TIDEGATE_TEST_LONG is a number of seconds"));
    Duration::from_secs(seconds)
}

#[test]
fn every_reader_ends_with_what_postgresql_holds_and_saw_each_change_once_and_in_order() {
    scenario(async |_| {
        let cluster = private(&[]);
        let database = Database::create_on(cluster.address()).await;
        load::prepare(&database).await;
        let server = Server::start_with(&database, &load::TABLES).await;
        let load = Load::start(&database, &server);
        sleep_until(Instant::now() + run_length(30)).await;
        let told = load.finish(&database).await;
        println!("{told:?}");
        assert!(told.subscribes >= 1_000 && told.resumes > 100 && told.snapshots > 100, "{told:?}");
    });
}

#[test]
fn no_commit_falls_between_a_snapshot_and_the_stream() {
    scenario(async |_| {
        let cluster = private(&[]);
        let database = Database::create_on(cluster.address()).await;
        counting::prepare(&database).await;
        let server = Server::start_with(&database, &counting::TABLES).await;
        let counting = Counting::start(&database, &server);
        sleep_until(Instant::now() + run_length(15)).await;
        let told = counting.finish().await;
        println!("{told:?}");
        assert!(told.snapshots >= 300 && told.resumes > 50 && told.steps > 1_000, "{told:?}");
    });
}

#[test]
fn a_standby_that_acknowledges_late_and_restarts_in_between_leave_no_trace() {
    scenario(async |_| {
        let cluster = private(&DURABLE);
        let database = Database::create_on(cluster.address()).await;
        load::prepare(&database).await;
        let mut server = Server::start_with(&database, &load::TABLES).await;
        let _standby = Standby::start(&cluster, &database).await;
        let synchronous = |names: &str| {
            cluster.reconfigure(&[("synchronous_standby_names".into(), names.into())]).expect("takes it");
        };
        synchronous(standby::NAME);
        eventually("PostgreSQL waits for the standby", async || {
            let waits = "select count(*) from pg_stat_replication where sync_state = 'sync'";
            (database.number(waits).await == 1).then_some(())
        })
        .await;
        let load = Load::start(&database, &server);
        let until = Instant::now() + run_length(24);
        while Instant::now() < until {
            sleep_until(Instant::now() + Duration::from_secs(4)).await;
            server.stop().await;
            server.resume_unready().await;
        }
        synchronous("");
        let told = load.finish(&database).await;
        println!("{told:?}");
        assert!(told.subscribes > 300 && told.resyncs.contains_key("source_reset"), "{told:?}");
    });
}

#[test]
fn a_crash_between_asynchronous_commits_and_snapshots_takes_the_snapshots_with_it() {
    scenario(async |test| {
        allow(test, &OUTAGE);
        let mut cluster = private(&DURABLE);
        let database = Database::create_on(cluster.address()).await;
        load::prepare(&database).await;
        let server = Server::start_with(&database, &load::TABLES).await;
        let load = Load::start(&database, &server);
        let until = Instant::now() + run_length(30);
        while Instant::now() < until {
            sleep_until(Instant::now() + Duration::from_millis(fastrand::u64(1_500..3_500))).await;
            block_in_place(|| {
                cluster.kill().expect("ours");
                cluster.resume().expect("recovers");
            });
        }
        let told = load.finish(&database).await;
        println!("{told:?}");
        assert!(told.subscribes > 200 && told.snapshots > 50, "{told:?}");
    });
}

/// Kills what `pick` finds, again and again, in the middle of a load.
async fn killing(test: &Test, pick: &str) {
    allow(test, &OUTAGE);
    let cluster = private(&DURABLE);
    let database = Database::create_on(cluster.address()).await;
    load::prepare(&database).await;
    let server = Server::start_with(&database, &load::TABLES).await;
    let load = Load::start(&database, &server);
    for _ in 0..4 {
        sleep_until(Instant::now() + Duration::from_millis(fastrand::u64(800..1_600))).await;
        kill_one(&cluster, &database, pick).await;
        eventually("PostgreSQL is back", async || {
            tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.ok().map(drop)
        })
        .await;
    }
    let told = load.finish(&database).await;
    println!("{told:?}");
    assert!(told.resumes > 0 && told.transactions > 0, "{told:?}");
}

async fn kill_one(cluster: &Cluster, database: &Database, pick: &str) {
    let pid = eventually("there is one to kill", async || {
        // The server may still be coming back from the last one.
        let (client, connection) =
            tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.ok()?;
        let query = async { client.query_opt(pick, &[&database.name()]).await.ok()? };
        let row = tokio::select! { row = query => row?, _ = connection => return None };
        Some(row.get::<_, i32>(0))
    })
    .await;
    // One that has ended by itself meanwhile is as good as killed.
    let _ = cluster.kill_backend(pid);
}

#[test]
fn a_walsender_killed_in_the_middle_of_a_load_loses_nothing_and_repeats_nothing() {
    scenario(async |test| {
        killing(
            test,
            "select pid
             from pg_stat_activity
             where backend_type = 'walsender'
               and datname = $1::text
             limit 1",
        )
        .await;
    });
}

#[test]
fn a_backend_killed_in_the_middle_of_a_load_loses_nothing_and_repeats_nothing() {
    scenario(async |test| {
        killing(
            test,
            "select pid
             from pg_stat_activity
             where backend_type = 'client backend'
               and datname = $1::text
               and pid <> pg_backend_pid()
             order by random()
             limit 1",
        )
        .await;
    });
}

#[test]
fn restarts_of_postgresql_in_the_middle_of_a_load_lose_nothing_and_repeat_nothing() {
    scenario(async |test| {
        allow(test, &OUTAGE);
        let mut cluster = private(&DURABLE);
        let database = Database::create_on(cluster.address()).await;
        load::prepare(&database).await;
        let server = Server::start_with(&database, &load::TABLES).await;
        let load = Load::start(&database, &server);
        for how in [Shutdown::Fast, Shutdown::Immediate, Shutdown::Fast] {
            sleep_until(Instant::now() + Duration::from_millis(1_500)).await;
            block_in_place(|| cluster.restart(how).expect("comes back"));
        }
        let told = load.finish(&database).await;
        println!("{told:?}");
        assert!(told.resumes > 0 && told.transactions > 0, "{told:?}");
    });
}
