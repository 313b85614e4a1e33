//! What the demo's page asks the demo itself: how fast the team works, which servers run, and lines that can be cut.
//!
//! ```text
//!  page ──JSON over HTTP──▶ 127.0.0.1:PORT ─▶ guard ─▶ route ─┬─▶ simulator's pace
//!                                                             ├─▶ servers::Handle
//!                                                             └─▶ Lines
//! ```
//!
//! Whoever owns this machine may use it, and no page but those of the demo's own servers: it goes by `Host`, against names
//! that somebody else's DNS gives to loopback, and by `Origin`.

mod answer;
mod guard;
mod route;

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

use super::lines::Lines;
use super::servers;
use super::simulator::Rate;
use crate::shutdown::Scope;
use crate::telemetry::Chain;
use guard::Guard;

/// Connections at once: a browser opens six to one address, for each of a few windows.
const MOST_CONNECTIONS: usize = 64;
/// How long a client may take for the head of a request, and for its body.
const PATIENCE: Duration = Duration::from_secs(5);
/// After an accept that failed for want of resources, the next one is tried this much later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is controlled.
#[derive(Clone)]
pub(super) struct Stage {
    /// How fast the team works.
    pub(super) pace: Arc<watch::Sender<Rate>>,
    /// The servers.
    pub(super) servers: servers::Handle,
    /// The lines to them.
    pub(super) lines: Lines,
}

/// A port that is listened on, for those who have to know it before it answers.
pub(super) struct Control {
    listener: TcpListener,
    address: SocketAddr,
}

impl Control {
    /// Takes a free port of 127.0.0.1.
    pub(super) async fn listen() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// As in `http://127.0.0.1:9000`.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers the pages of these servers until `scope` closes.
    pub(super) async fn run(self, stage: Stage, pages: Vec<SocketAddr>, scope: Scope) {
        let guard = Arc::new(Guard::new(self.address, &pages));
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        loop {
            // With all places taken nobody is accepted: the kernel keeps those who wait.
            let next = async {
                let place = places.clone().acquire_owned().await.expect("nobody closes it");
                (self.listener.accept().await, place)
            };
            let accepted = tokio::select! {
                biased;
                // 1. Shutdown.
                () = scope.closing() => return,
                // 2. Who knocks.
                accepted = next => accepted,
            };
            match accepted {
                (Ok((stream, _)), place) => {
                    let serving = serve(stream, stage.clone(), guard.clone(), scope.clone(), place);
                    scope.spawn("control connection", serving);
                }
                (Err(error), _) => {
                    tracing::warn!(error = %Chain(&error), "a connection to the control could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn serve(
    stream: TcpStream,
    stage: Stage,
    guard: Arc<Guard>,
    scope: Scope,
    _place: OwnedSemaphorePermit,
) {
    let answer = service_fn(|request: Request<Incoming>| {
        let (stage, guard) = (stage.clone(), guard.clone());
        async move { Ok::<_, Infallible>(route::answer(stage, &guard, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    let ended = tokio::select! {
        biased;
        () = scope.closing() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        ended = connection.as_mut() => ended,
    };
    if let Err(error) = ended {
        tracing::debug!(error = %Chain(&error), "a connection to the control broke");
    }
}
