use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::super::machine::{alive, children, poll_until};
use super::*;

fn quick() -> Options {
    let binaries = std::env::var_os("TIDEGATE_TEST_POSTGRES_BIN").map(PathBuf::from);
    Options { binaries, ..Options::default() }.with("fsync", "off")
}

fn listens(cluster: &Cluster) -> bool {
    TcpStream::connect(("127.0.0.1", cluster.address().port().expect("started"))).is_ok()
}

async fn count(url: &str, sql: &str) -> i64 {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("ready");
    let answer = async { client.query_one(sql, &[]).await.expect("valid SQL").get(0) };
    tokio::select! {
        answer = answer => answer,
        ended = connection => panic!("the server hung up: {ended:?}"),
    }
}

#[tokio::test]
async fn a_cluster_crashes_and_comes_back_at_the_same_address() {
    let mut cluster = Cluster::start(&quick()).expect("PostgreSQL is installed");
    let url = cluster.url("postgres");
    let logical = "select count(*) from pg_settings where (name, setting) = ('wal_level', 'logical')";
    assert_eq!(count(&url, logical).await, 1);
    let pid = cluster.pid().expect("running");
    let children = children(pid);
    assert!(!children.is_empty());

    cluster.kill().expect("ours");
    assert!(!alive(pid) && !children.iter().any(|child| alive(*child)));
    assert!(!listens(&cluster));

    cluster.resume().expect("recovers");
    assert_eq!(count(&url, logical).await, 1);
    cluster.restart(Shutdown::Fast).expect("restarts");
    cluster.restart(Shutdown::Immediate).expect("restarts");
    assert_eq!(count(&url, logical).await, 1);

    let (folder, pid) = (cluster.folder().to_owned(), cluster.pid().expect("running"));
    drop(cluster);
    assert!(!alive(pid) && !folder.exists());
}

#[tokio::test]
async fn a_password_is_asked_for_over_tcp_when_one_is_set() {
    let options = Options { access: Access::Password, ..quick() };
    let cluster = Cluster::start(&options).expect("PostgreSQL is installed");
    assert_eq!(count(&cluster.url("postgres"), "select 1::int8").await, 1);
    let stranger = Address::trusted(cluster.address().port().expect("started")).url("postgres");
    assert!(tokio_postgres::connect(&stranger, tokio_postgres::NoTls).await.is_err());
}

#[test]
fn whoever_comes_next_ends_what_was_left_running() {
    let scratch = unused_path();
    let options = Options { place: Place::Folder(scratch.clone()), ..quick() };
    let first = Cluster::start(&options).expect("PostgreSQL is installed");
    let pid = first.pid().expect("running");
    drop(first.leave_running());
    assert!(alive(pid));

    let second = Cluster::start(&options).expect("takes over");
    assert!(!alive(pid));
    drop(second);
    std::fs::remove_dir_all(scratch).expect("ours");
}

#[test]
fn the_server_ends_when_its_guard_loses_us() {
    let mut cluster = Cluster::start(&quick()).expect("PostgreSQL is installed");
    let folder = cluster.folder().to_owned();
    let running = cluster.running.as_mut().expect("running");
    running.guard.lose();
    let deadline = Instant::now() + Duration::from_secs(20);
    let stopped = poll_until(deadline, || {
        let ended = running.postmaster.ended().expect("ours");
        Ok::<_, Error>((ended && !folder.exists()).then_some(()))
    });
    assert_eq!(stopped.expect("no error to give"), Some(()));
}

#[test]
fn a_setting_that_postgresql_refuses_comes_back_with_its_words() {
    let error = Cluster::start(&quick().with("work_mem", "a lot")).expect_err("refused");
    assert!(error.to_string().contains("work_mem"), "{error}");
}

fn unused_path() -> PathBuf {
    std::env::temp_dir().join(format!("tidegate-test-{:08x}", fastrand::u32(..)))
}
