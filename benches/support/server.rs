//! The server itself, in this process.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use tidegate::app;
use tidegate::config::Layers;
use tidegate::shutdown::{Drained, Scope};

/// How long the server may take to come up and to go down.
const DEADLINE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    scope: Scope,
}

impl Server {
    /// Starts it on a database, and waits until it is ready.
    pub(crate) async fn start(url: &str) -> Self {
        Self::start_with(url, &[]).await
    }

    /// The same with other settings.
    pub(crate) async fn start_with(url: &str, settings: &[(&str, &str)]) -> Self {
        rlimit::increase_nofile_limit(u64::MAX).expect("the limit can be raised to its hard value");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = port.expect("a free port");
        let set = |layers: Layers, (key, value): &(&str, &str)| layers.flag("bench", key, *value);
        let config = settings
            .iter()
            .fold(Layers::default(), set)
            .flag("bench", "postgres.url", url)
            .flag("bench", "http.listen", address.to_string())
            // No beats between what is measured.
            .flag("bench", "session.heartbeat_ms", "600000")
            .flag("bench", "session.idle_timeout_ms", "1200000")
            .load()
            .expect("the defaults, and known keys");
        let scope = Scope::new();
        let closing = scope.clone();
        scope.spawn("server", async move { app::run(config, closing).await.expect("the server runs") });
        let started = Instant::now();
        while !is_ready(address) {
            assert!(started.elapsed() < DEADLINE, "the server is not ready after {DEADLINE:?}");
            tokio::time::sleep(POLL).await;
        }
        Self { address, scope }
    }

    /// Stops it.
    pub(crate) async fn stop(self) {
        let drained = self.scope.drain(DEADLINE).await;
        assert_eq!(drained, Drained::Clean, "the server stops in time");
    }
}

fn is_ready(address: SocketAddr) -> bool {
    use std::io::{Read as _, Write as _};
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        std::io::Result::Ok(&status[9..] == b"200")
    };
    ask().unwrap_or(false)
}
