//! The server itself, in this process, on a database of a test's own.

use std::net::SocketAddr;
use std::time::Duration;

use tidegate::app;
use tidegate::config::Layers;
use tidegate::shutdown::Scope;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::fixture::{DEADLINE, Database, eventually};

/// A running server. It stops in good order when this is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    layers: Layers,
    running: Option<Running>,
}

struct Running {
    scope: Scope,
    task: JoinHandle<Result<(), app::Error>>,
}

impl Server {
    /// Starts one with the database's own slot and publication; returns when changes come in.
    pub(crate) async fn start(database: &Database) -> Self {
        Self::start_with(database, &[]).await
    }

    /// The same with other settings, as `("section.key", "value")`.
    pub(crate) async fn start_with(database: &Database, settings: &[(&str, &str)]) -> Self {
        let mut server = Self::stopped(database, settings);
        server.resume().await;
        server
    }

    /// One that has not been started, for [`Server::resume`] and its kin.
    pub(crate) fn stopped(database: &Database, settings: &[(&str, &str)]) -> Self {
        let own = [
            ("postgres.url", database.url()),
            ("postgres.slot", database.slot()),
            ("postgres.publication", database.publication()),
            ("http.listen", "127.0.0.1:0".to_owned()),
            ("shutdown.grace_ms", "5000".to_owned()),
            // Whether or not the page is built.
            ("page.folder", String::new()),
        ];
        let layers =
            own.into_iter().fold(Layers::default(), |layers, (key, value)| layers.flag("test", key, value));
        let layers = settings
            .iter()
            .fold(layers, |layers, (key, value)| layers.flag("test", key, (*value).to_owned()));
        Self { address: ([127, 0, 0, 1], 0).into(), layers, running: None }
    }

    /// Starts it again after [`Server::stop`], on the same port; returns when changes come in.
    pub(crate) async fn resume(&mut self) {
        self.resume_unready().await;
        eventually("the server is ready", async || {
            self.check();
            (self.get("/readyz").await?.0 == 200).then_some(())
        })
        .await;
    }

    /// The same without waiting for changes to come in.
    #[expect(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    pub(crate) async fn resume_unready(&mut self) {
        let listener =
            eventually("the port is free", async || TcpListener::bind(self.address).await.ok()).await;
        self.address = listener.local_addr().expect("it listens");
        let config = self.layers.clone().load().unwrap_or_else(|error| panic!("{error}"));
        let scope = Scope::new();
        let task = tokio::spawn(app::run_on(listener, config, scope.clone()));
        self.running = Some(Running { scope, task });
    }

    /// Where it listens, also after a restart.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it in good order.
    pub(crate) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    /// Status and body of a `GET`; `None` if nobody answers.
    pub(crate) async fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.address).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }

    /// The value of a metric that has no labels, or of one with the labels in `name`; 0 if nothing counted yet.
    ///
    /// The recorder is the process's: tests of one process share it.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics").await.expect("the server answers");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// Fails the test if the server has ended by itself.
    fn check(&self) {
        let ended = self.running.as_ref().is_none_or(|running| running.task.is_finished());
        assert!(!ended, "the server ended by itself: see the log");
    }
}

impl Running {
    async fn stop(self) {
        self.scope.close();
        let ended = timeout(DEADLINE, self.task).await.expect("the server stops");
        ended
            .expect("the server does not panic")
            .unwrap_or_else(|error| panic!("the server failed: {error:?}"));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A database is removed after its server: one that still held the slot would be thrown out of it.
        if let (Some(mut running), Ok(runtime)) = (self.running.take(), Handle::try_current()) {
            running.scope.close();
            let ended = async { timeout(Duration::from_secs(10), &mut running.task).await.is_ok() };
            if !tokio::task::block_in_place(|| runtime.block_on(ended)) {
                eprintln!("the server on {} did not stop", self.address);
            }
        }
    }
}
