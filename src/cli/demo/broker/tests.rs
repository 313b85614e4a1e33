use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use super::super::machine::{alive, descendants, poll_until};
use super::address::Ports;
use super::*;

fn options() -> Options {
    let binaries = std::env::var_os("TIDEGATE_TEST_RABBITMQ_BIN").map(PathBuf::from);
    Options { binaries, place: Place::Temporary }
}

fn listens(broker: &Broker) -> bool {
    TcpStream::connect(("127.0.0.1", broker.port())).is_ok()
}

fn gone(pids: &[i32]) -> bool {
    !pids.iter().any(|pid| alive(*pid))
}

#[test]
fn a_broker_crashes_and_comes_back_at_the_same_port_with_what_it_held() {
    let mut broker = Broker::start(&options()).expect("RabbitMQ is installed");
    let (url, port) = (broker.url("/"), broker.port());
    broker.ctl(&["add_vhost", "kept"]).expect("the node is ours");
    let mut pids = broker.pids();
    pids.extend(descendants(broker.pid().expect("running")));
    assert!(pids.len() > 2, "{pids:?}");

    broker.kill().expect("ours");
    assert!(gone(&pids) && !listens(&broker) && !broker.is_running());

    broker.resume().expect("recovers");
    assert!(broker.is_running() && (broker.url("/"), broker.port()) == (url, port));
    let vhosts = broker.ctl(&["list_vhosts"]).expect("the node is ours");
    assert!(vhosts.lines().any(|vhost| vhost == "kept"), "{vhosts}");

    let pids = broker.pids();
    broker.pause().expect("running");
    broker.stop().expect("stops, paused or not");
    assert!(gone(&pids));
    broker.resume().expect("starts again");

    let (folder, pids) = (broker.folder().to_owned(), broker.pids());
    drop(broker);
    assert!(gone(&pids) && !folder.exists());
}

#[test]
fn whoever_comes_next_ends_what_was_left_running() {
    let scratch = std::env::temp_dir().join(format!("tidegate-test-{:08x}", fastrand::u32(..)));
    let options = Options { place: Place::Folder(scratch.clone()), ..options() };
    let first = Broker::start(&options).expect("RabbitMQ is installed");
    let pids = first.pids();
    let left = first.leave_running();
    assert!(pids.iter().all(|pid| alive(*pid)));
    let opened = Control::open(options.binaries.as_deref(), left.folder()).expect("left running");
    assert_eq!(opened.address(), left.address());

    let second = Broker::start(&options).expect("takes over");
    assert!(gone(&pids));
    drop(second);
    std::fs::remove_dir_all(scratch).expect("ours");
}

#[test]
fn the_broker_ends_when_its_guard_loses_us_even_a_paused_one() {
    let mut broker = Broker::start(&options()).expect("RabbitMQ is installed");
    broker.pause().expect("running");
    let folder = broker.folder().to_owned();
    let running = broker.running.as_mut().expect("running");
    running.lose_guard();
    let deadline = Instant::now() + Duration::from_secs(20);
    let stopped = poll_until(deadline, || {
        let ended = running.ended().expect("ours");
        Ok::<_, machine::Error>((ended && !folder.exists()).then_some(()))
    });
    assert_eq!(stopped.expect("no error to give"), Some(()));
}

#[test]
fn nothing_listens_on_another_interface_and_secrets_are_the_brokers_own() {
    let broker = Broker::start(&options()).expect("RabbitMQ is installed");
    let Ports { amqp, epmd, distribution } = broker.address().ports;
    for port in [amqp, epmd, distribution] {
        assert!(TcpStream::connect(("127.0.0.1", port)).is_ok(), "{port}");
        // Whoever listens on all interfaces listens here too.
        assert!(TcpStream::connect(("127.0.0.2", port)).is_err(), "{port}");
    }
    for file in [".erlang.cookie", "rabbitmq.conf", "address"] {
        let mode = std::fs::metadata(broker.folder().join(file)).expect("made").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}");
    }
}

#[test]
fn a_port_that_another_process_has_for_a_while_is_waited_for() {
    let mut broker = Broker::start(&options()).expect("RabbitMQ is installed");
    broker.stop().expect("ours");
    let Ports { amqp, epmd, distribution } = broker.address().ports;
    for port in [amqp, epmd, distribution] {
        let other = TcpListener::bind(("127.0.0.1", port)).expect("free while the broker is down");
        let attempt = node::start(&broker.control, None, Instant::now() + START_DEADLINE);
        assert!(matches!(attempt, Ok(Attempt::PortTaken(_))), "{port}");
        drop(other);
    }
    broker.resume().expect("all are free again");
}

#[test]
fn a_start_that_fails_comes_back_with_rabbitmqs_words() {
    let mut broker = Broker::start(&options()).expect("RabbitMQ is installed");
    broker.stop().expect("ours");
    let schema = broker.data().join("node").join("schema.DAT");
    assert!(schema.exists());
    std::fs::write(&schema, "no table").expect("ours");
    let error = broker.resume().expect_err("its data is no data");
    assert!(error.to_string().contains("BOOT FAILED"), "{error}");
    assert!(!broker.is_running());
}
