use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tidegate::cli::demo::broker::Broker;
use tidegate::cli::demo::cluster::Cluster;
use tidegate::event::Lsn;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::{block_in_place, spawn_blocking};

use crate::client::Client;
use crate::fixture::{Database, eventually, private, private_broker};

/// Everything is on disk that PostgreSQL says is.
const DURABLE: [(&str, &str); 4] = [
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("wal_writer_delay", "500ms"),
    ("checkpoint_timeout", "30s"),
];

/// A PostgreSQL, a broker and several servers, each a process that can be killed.
pub(crate) struct House {
    // In the order in which they go.
    pub(crate) servers: Vec<Process>,
    pub(crate) database: Database,
    pub(crate) cluster: Cluster,
    pub(crate) broker: Broker,
}

/// A server as a process of its own.
pub(crate) struct Process {
    pub(crate) address: SocketAddr,
    environment: Vec<(String, String)>,
    log: PathBuf,
    child: Option<Child>,
}

impl House {
    pub(crate) async fn open(servers: usize, schema: &str, settings: &[(&str, &str)]) -> Self {
        let mut house = Self::build(servers, schema, settings).await;
        house.servers.iter_mut().for_each(Process::start);
        for server in &house.servers {
            server.ready().await;
        }
        house
    }

    /// The same with servers that have not been started.
    pub(crate) async fn build(servers: usize, schema: &str, settings: &[(&str, &str)]) -> Self {
        let broker = spawn_blocking(private_broker);
        let cluster = spawn_blocking(|| private(&DURABLE)).await.expect("no panic");
        let broker = broker.await.expect("no panic");
        let database = Database::create_on(cluster.address()).await;
        database.execute(schema).await;
        let mut house = Self { servers: Vec::new(), database, cluster, broker };
        for _ in 0..servers {
            house.add(settings);
        }
        house
    }

    /// Adds a server that has not been started.
    pub(crate) fn add(&mut self, settings: &[(&str, &str)]) {
        let server = Process::new(self, self.servers.len(), settings);
        self.servers.push(server);
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(|server| server.address).collect()
    }

    /// The server that holds the slot, once one does.
    pub(crate) async fn holder(&self) -> usize {
        eventually("one server holds the slot", async || {
            for (index, server) in self.servers.iter().enumerate() {
                if server.child.is_some() && server.metric("tidegate_source_streaming").await == Some(1.0) {
                    return Some(index);
                }
            }
            None
        })
        .await
    }

    /// Ends the servers, so that their database can go.
    pub(crate) async fn close(mut self) {
        for server in &mut self.servers {
            if server.runs() {
                server.kill().await;
            }
        }
    }

    /// Crashes PostgreSQL and starts it again.
    pub(crate) fn crash_postgresql(&mut self) {
        block_in_place(|| {
            self.cluster.kill().expect("ours");
            self.cluster.resume().expect("it recovers");
        });
    }

    /// Crashes the broker and starts it again.
    pub(crate) fn crash_broker(&mut self) {
        block_in_place(|| {
            self.broker.kill().expect("ours");
            self.broker.resume().expect("it recovers");
        });
    }

    /// The lines of all servers' logs with this fragment.
    pub(crate) fn logged(&self, fragment: &str) -> usize {
        let lines = |server: &Process| {
            let text = fs::read_to_string(&server.log).expect("it logs");
            text.lines().filter(|line| line.contains(fragment)).count()
        };
        self.servers.iter().map(lines).sum()
    }
}

impl Process {
    fn new(house: &House, number: usize, settings: &[(&str, &str)]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = port.expect("a free port");
        let own = [
            ("postgres.url", house.database.url()),
            ("postgres.slot", house.database.slot()),
            ("postgres.publication", house.database.publication()),
            ("http.listen", address.to_string()),
            ("journal.backend", "rabbitmq".to_owned()),
            ("journal.url", house.broker.url("/")),
            ("telemetry.level", "debug,tidegate::session=info".to_owned()),
        ];
        let set = own.into_iter().chain(settings.iter().map(|(key, value)| (*key, (*value).to_owned())));
        let environment = set.map(|(key, value)| {
            (format!("TIDEGATE__{}", key.to_ascii_uppercase().replace('.', "__")), value)
        });
        let name = format!("{}-{number}.log", house.database.name());
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        File::create(&log).expect("the build's temporary folder is ours");
        Self { address, environment: environment.collect(), log, child: None }
    }

    /// Starts it, without waiting for it.
    pub(crate) fn start(&mut self) {
        let log = File::options().append(true).open(&self.log).expect("it was made");
        let child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .arg("serve")
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn();
        self.child = Some(child.expect("it runs"));
    }

    /// Waits until it is ready.
    pub(crate) async fn ready(&self) {
        eventually("the server is ready", async || {
            self.get("/readyz").await.is_some_and(|answer| answer.contains("200 OK")).then_some(())
        })
        .await;
    }

    /// Waits until it has told everything up to `end`.
    pub(crate) async fn comes_through(&self, end: Lsn) {
        eventually("changes come through", async || {
            let mut client = Client::try_connect(self.address).await.ok()?;
            client.send(&json!({"type": "await", "lsn": end.to_string()})).await;
            let reached = client.next_within(Duration::from_secs(20)).await?.ok()?;
            (reached["type"] == "reached").then_some(())
        })
        .await;
    }

    /// `kill -9`; returns when it is gone.
    pub(crate) async fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().await.expect("ours");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        let id = i32::try_from(child.id().expect("it runs")).expect("a process id");
        rustix::process::kill_process(rustix::process::Pid::from_raw(id).expect("not 0"), signal)
            .expect("ours");
    }

    /// Whether it was started and not killed since.
    pub(crate) const fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("it logs")
    }

    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let text = self.get("/metrics").await?;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?.parse().ok()
    }

    async fn get(&self, path: &str) -> Option<String> {
        let ask = async {
            let mut stream = TcpStream::connect(self.address).await.ok()?;
            let request =
                format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address);
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok()?;
            Some(answer)
        };
        // One that is frozen accepts, and says nothing.
        tokio::time::timeout(Duration::from_millis(500), ask).await.ok()?
    }
}

/// How long `done` takes.
pub(crate) async fn timed(done: impl Future<Output = ()>) -> Duration {
    let since = Instant::now();
    done.await;
    since.elapsed()
}
