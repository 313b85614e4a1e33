//! The demo with two server processes: one is killed, and its client goes on on the other.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::*;
use crate::client::Mirror;

/// Two private servers and two of ours start and stop in it, beside whatever else the machine does.
const PATIENCE: Duration = Duration::from_mins(2);

struct Demo {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// The server processes, by where they listen.
    servers: Vec<(SocketAddr, Pid)>,
    /// All that listens.
    addresses: Vec<SocketAddr>,
}

impl Demo {
    async fn start(folder: &Path) -> Self {
        let mut command = tidegate(&["demo", "--rabbitmq", "--port", "0", "--rate", "20", "--folder"]);
        command.arg(folder).stderr(Stdio::null());
        for (flag, variable) in [
            ("--postgres-bin", "TIDEGATE_TEST_POSTGRES_BIN"),
            ("--rabbitmq-bin", "TIDEGATE_TEST_RABBITMQ_BIN"),
        ] {
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

    async fn line(&mut self) -> String {
        self.lines.next_line().await.expect("readable").expect("it goes on")
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
}

/// Reads until the mirror holds `transactions`.
async fn read(client: &mut Client, mirror: &mut Mirror, transactions: usize) {
    while mirror.transactions < transactions {
        mirror.apply(&client.next().await.expect("the server lives"));
    }
}

#[test]
fn a_client_of_the_demo_goes_on_on_the_other_server_when_its_own_is_killed() {
    scenario(async |_| {
        let scratch = std::env::temp_dir().join(format!("tidegate-test-{:08x}", fastrand::u32(..)));
        std::fs::create_dir(&scratch).expect("a new folder");
        let mut demo = Demo::start(&scratch.join("demo")).await;
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
        let gone = if gone.is_empty() { demo.line().await } else { gone };
        assert!(
            gone.contains(&format!("{first} (process {}) is gone", first_pid.as_raw_nonzero())),
            "{gone}"
        );
        assert!(gone.contains(&second.to_string()), "{gone}");

        signal(&demo.child, Signal::TERM);
        assert_eq!(client.closed().await.code, Some(1001));
        let status = timeout(PATIENCE, demo.child.wait()).await.expect("it ends").expect("it ran");
        assert_eq!(status.code(), Some(0));
        assert!(test_kill_process(second_pid).is_err(), "the second server is left");
        for address in demo.addresses {
            assert!(TcpStream::connect(address).is_err(), "something still listens on {address}");
        }
        std::fs::remove_dir_all(&scratch).expect("ours");
    });
}
