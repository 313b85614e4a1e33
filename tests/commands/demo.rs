//! The demo with two server processes: one is killed, its client goes on on the other, and it comes back.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::*;
use crate::client::Mirror;
use crate::stage::Raw;

/// Two private servers and two of ours start and stop in it, beside whatever else the machine does.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);

/// A folder that goes with its test.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tidegate-test-{:08x}", fastrand::u32(..)));
        std::fs::create_dir(&path).expect("a new folder");
        Self(path)
    }

    pub(super) fn demo(&self) -> PathBuf {
        self.0.join("demo")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is in the system's temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) struct Demo {
    pub(super) child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// The server processes, by where they listen.
    pub(super) servers: Vec<(SocketAddr, Pid)>,
    /// All that listens.
    pub(super) addresses: Vec<SocketAddr>,
}

impl Demo {
    pub(super) async fn start(folder: &Path, flags: &[&str]) -> Self {
        let mut command = tidegate(&[&["demo", "--port", "0"], flags].concat());
        command.arg("--folder").arg(folder).stderr(Stdio::null());
        let broker =
            flags.contains(&"--rabbitmq").then_some(("--rabbitmq-bin", "TIDEGATE_TEST_RABBITMQ_BIN"));
        for (flag, variable) in [("--postgres-bin", "TIDEGATE_TEST_POSTGRES_BIN")].into_iter().chain(broker) {
            if let Some(binaries) = std::env::var_os(variable) {
                command.arg(flag).arg(binaries);
            }
        }
        let mut child = command.spawn().expect("it runs");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut demo = Self { child, lines, servers: Vec::new(), addresses: Vec::new() };
        timeout(PATIENCE, demo.read_greeting()).await.expect("it is ready in time");
        demo
    }

    /// The next line that says something.
    async fn line(&mut self) -> String {
        loop {
            let line = self.lines.next_line().await.expect("readable").expect("it goes on");
            if !line.is_empty() {
                return line;
            }
        }
    }

    async fn read_greeting(&mut self) {
        loop {
            let line = self.line().await;
            if line.contains("Ctrl-C stops everything") {
                return;
            }
            let Some((_, rest)) = line.split_once("127.0.0.1:") else { continue };
            let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
            let address = format!("127.0.0.1:{port}").parse().expect("an address");
            self.addresses.push(address);
            if let Some((_, rest)) = line.split_once("(process ") {
                let pid = rest.trim_end_matches(')').parse().ok().and_then(Pid::from_raw);
                self.servers.push((address, pid.expect("a process id")));
            }
        }
    }

    /// Its status, when it has ended.
    pub(super) async fn ended(&mut self) -> Option<i32> {
        timeout(PATIENCE, self.child.wait()).await.expect("it ends").expect("it ran").code()
    }
}

/// Waits until a server says that it is ready.
pub(super) async fn ready(server: SocketAddr) {
    eventually("the server is ready", async || {
        let mut raw = Raw::try_connect(server).await?;
        raw.send(format!("GET /readyz HTTP/1.1\r\nhost: {server}\r\n\r\n")).await;
        raw.response_within(DEADLINE).await.filter(|response| response.status == 200)
    })
    .await;
}

/// Reads until the mirror holds `transactions`.
pub(super) async fn read(client: &mut Client, mirror: &mut Mirror, transactions: usize) {
    while mirror.transactions < transactions {
        mirror.apply(&client.next().await.expect("the server lives"));
    }
}

#[test]
fn a_client_of_the_demo_goes_on_on_the_other_server_when_its_own_is_killed() {
    scenario(async |_| {
        let scratch = Scratch::new();
        let mut demo = Demo::start(&scratch.demo(), &["--rabbitmq", "--rate", "20"]).await;
        let [(first, first_pid), (second, second_pid)] = demo.servers[..] else {
            panic!("two servers: {:?}", demo.servers);
        };
        assert_eq!(demo.addresses.len(), 4, "two servers, a database and a broker: {:?}", demo.addresses);
        let mut mirror = Mirror::new("entries", json!({"table": "public.entries"}));
        let mut client = Client::connect(first).await;
        client.send(&mirror.request()).await;
        read(&mut client, &mut mirror, 5).await;

        kill_process(first_pid, Signal::KILL).expect("it runs");
        while let Ok(frame) = client.next().await {
            mirror.apply(&frame);
        }
        mirror.cut();
        let seen = mirror.transactions;
        let mut client = Client::connect(second).await;
        client.send(&mirror.request()).await;
        read(&mut client, &mut mirror, seen + 20).await;
        assert_eq!((mirror.resumes, mirror.snapshots, &mirror.resyncs), (1, 1, &HashMap::new()));
        let gone = timeout(DEADLINE, demo.line()).await.expect("it says so");
        assert!(
            gone.contains(&format!("{first} (process {}) is gone", first_pid.as_raw_nonzero())),
            "{gone}"
        );
        assert!(gone.contains(&second.to_string()), "{gone}");

        // It comes back while the other one goes on, and serves what the other one has told.
        let back = timeout(PATIENCE, demo.line()).await.expect("it says so");
        assert!(back.contains(&format!("{first} is back (process ")), "{back}");
        let seen = mirror.transactions;
        read(&mut client, &mut mirror, seen + 5).await;
        client.cut();
        mirror.cut();
        ready(first).await;
        let mut client = Client::connect(first).await;
        client.send(&mirror.request()).await;
        let seen = mirror.transactions;
        read(&mut client, &mut mirror, seen + 5).await;
        assert_eq!((mirror.resumes, mirror.snapshots, &mirror.resyncs), (2, 1, &HashMap::new()));

        signal(&demo.child, Signal::TERM);
        assert_eq!(client.closed().await.code, Some(1001));
        assert_eq!(demo.ended().await, Some(0));
        assert!(test_kill_process(second_pid).is_err(), "the second server is left");
        for address in demo.addresses {
            assert!(TcpStream::connect(address).is_err(), "something still listens on {address}");
        }
    });
}
