//! What a test stands on: a real PostgreSQL, a database of its own, a real RabbitMQ, a virtual host of its own, and a
//! log that has to stay quiet.
//!
//! ```text
//!  scenario(async |test| …)   a runtime, a deadline, the log: an unlisted WARN or ERROR line fails the test
//!    test.database()          a fresh database on the cluster that all tests share, with slot and publication names
//!    private(settings)        a cluster for this test alone, to be crashed and restarted
//!    private_standby(cluster) a physical standby of it, to be promoted
//!    test.vhost()             a fresh virtual host on the broker that all tests share
//!    private_broker()         a broker for this test alone, likewise
//!    OwnProvider::start()     a real OpenID Connect provider for this test alone, with people of its choice
//!    Redis::start()          a Redis for this test alone, likewise
//!    eventually(what, …)      waits for a condition, never for a time
//! ```
//!
//! The tests run under `cargo test` (threads of one process) and `cargo nextest` (a process each) alike.

mod broker;
mod database;
mod log;
mod provider;
mod redis;
mod scenario;
mod shared;
mod standby;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tidegate::cli::demo::cluster::{Cluster, Options};

pub(crate) use broker::{Vhost, private_broker};
pub(crate) use database::Database;
pub(crate) use provider::{OwnProvider, PAGE, install};
pub(crate) use redis::Redis;
pub(crate) use scenario::{Test, scenario};
pub(crate) use standby::{follow_primary, private_standby};

/// Long enough for a loaded machine with two cores; a test that waits this long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// How often [`eventually`] looks.
const POLL: Duration = Duration::from_millis(5);

/// A cluster for one test alone. It is quick rather than durable, unless `settings` say otherwise.
pub(crate) fn private(settings: &[(&str, &str)]) -> Cluster {
    let options = settings.iter().fold(options(), |options, (name, value)| options.with(name, value));
    Cluster::start(&options).unwrap_or_else(|error| panic!("no private cluster: {error}"))
}

/// Copies the files of a cluster that does not run, to a place that is not there yet; whose they are stays the same.
pub(crate) fn copy_files(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status().expect("every system has it");
    assert!(status.success(), "cp -a {} {}", from.display(), to.display());
}

/// Waits until `condition` gives something, and gives that.
pub(crate) async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "waited {} s in vain: {what}", DEADLINE.as_secs());
        tokio::time::sleep(POLL).await;
    }
}

/// The cluster that every test gets unless it asks for another.
fn options() -> Options {
    let settings = [
        // Its data is worth nothing after the test. A test of durability says otherwise.
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("max_connections", "200"),
        ("max_wal_senders", "100"),
        ("max_replication_slots", "100"),
        ("max_prepared_transactions", "20"),
        ("jit", "off"),
        ("log_line_prefix", "%m [%p] %d "),
    ];
    let binaries = std::env::var_os("TIDEGATE_TEST_POSTGRES_BIN").map(PathBuf::from);
    settings
        .into_iter()
        .fold(Options { binaries, ..Options::default() }, |options, (name, value)| options.with(name, value))
}
