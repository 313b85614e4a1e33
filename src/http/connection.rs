use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Parts};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::problem::Body;
use super::{Context, route};
use crate::auth::Identity;
use crate::protocol::CloseCode;
use crate::session;
use crate::shutdown::Scope;
use crate::telemetry::{Chain, metric};

/// The head of a request may be this large, in bytes: the largest token of the default configuration, and what browsers
/// send beside it.
const HEAD_BYTES: usize = 16 * 1_024;
/// After an accept that failed for want of resources, the next one is tried this much later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections beyond the most that are told so at the same time; further ones are closed without a word.
const TURNED_AWAY: usize = 64;
/// How long one that is turned away may take to hear it.
const GOODBYE: Duration = Duration::from_secs(1);
const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/problem+json\r\ncontent-length: 127\r\nretry-after: 5\r\nconnection: close\r\n\r\n\
    {\"title\":\"Service Unavailable\",\"status\":503,\"detail\":\"this server has as many connections as it may hold\",\
    \"code\":\"unavailable\"}";

/// What a request left to be done with the connection, once its answer has been sent.
#[derive(Debug)]
pub(super) struct Upgrade {
    pub(super) upgrade: OnUpgrade,
    pub(super) then: Then,
}

/// What follows an upgrade.
#[derive(Clone, Debug)]
pub(super) enum Then {
    /// A conversation, with somebody who may have to say first who it is.
    Serve(Option<Arc<Identity>>),
    /// A refusal that a browser can read.
    Refuse(CloseCode, Option<Duration>),
}

/// Where a request leaves its upgrade for the connection to take.
pub(super) type Slot = Arc<Mutex<Option<Upgrade>>>;

pub(super) async fn accept(listener: TcpListener, context: Context, scope: Scope) {
    let places = Arc::new(Semaphore::new(context.config.max_connections));
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY));
    loop {
        let accepted = tokio::select! {
            biased;
            // 1. Shutdown: nobody is taken in any more.
            () = scope.closing() => return,
            // 2. Who knocks.
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                if let Ok(place) = places.clone().try_acquire_owned() {
                    scope.spawn("connection", serve(stream, context.clone(), scope.clone(), place));
                    continue;
                }
                metrics::counter!(metric::SESSION_REFUSED, metric::REASON => "max_connections").increment(1);
                if let Ok(place) = turned_away.clone().try_acquire_owned() {
                    scope.spawn("turned away", turn_away(stream, place));
                }
            }
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Says that there is no room, whatever is asked for.
async fn turn_away(mut stream: TcpStream, _place: OwnedSemaphorePermit) {
    let goodbye = async {
        stream.write_all(NO_ROOM).await?;
        stream.shutdown().await?;
        // The request is read, and not looked at: a socket closed on unread bytes is reset, and the reset may overtake
        // the answer.
        let mut unread = [0; 1_024];
        while stream.read(&mut unread).await? > 0 {}
        Ok::<(), std::io::Error>(())
    };
    // A client that is gone hears no answer.
    _ = timeout(GOODBYE, goodbye).await;
}

/// Serves one connection: requests one after another, until one of them upgrades it.
pub async fn serve(stream: TcpStream, context: Context, scope: Scope, place: OwnedSemaphorePermit) {
    let open = Open::new();
    // Frames are written whole: there is nothing to wait for. A socket that refuses the option works all the same.
    _ = stream.set_nodelay(true);
    let slot = Slot::default();
    let answer = service_fn(|request: Request<Incoming>| {
        let (context, slot) = (context.clone(), slot.clone());
        async move { Ok::<Response<Body>, Infallible>(route::answer(&context, request, &slot).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(context.config.handshake_timeout)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), answer)
        .with_upgrades();
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
        tracing::debug!(error = %Chain(&error), "a connection broke");
        return;
    }
    let Some(Upgrade { upgrade, then }) = slot.lock().take() else { return };
    let Ok(upgraded) = upgrade.await else { return };
    // hyper boxes the connection; ours is known to be a TCP stream, and that is smaller.
    let Ok(Parts { io, read_buf, .. }) = upgraded.downcast::<TokioIo<TcpStream>>() else { return };
    let services = context.services.clone();
    // A task of its own: what this one held for hyper is given back.
    scope.spawn("session", converse(services, io.into_inner(), read_buf, then, open, place));
}

async fn converse(
    services: Arc<session::Services>,
    stream: TcpStream,
    read: Bytes,
    then: Then,
    _open: Open,
    _place: OwnedSemaphorePermit,
) {
    match then {
        Then::Serve(identity) => session::serve(services, identity, stream, read).await,
        Then::Refuse(code, retry_after) => session::refuse(stream, read, code, retry_after).await,
    }
}

/// Counts a connection as open while it lives.
struct Open;

impl Open {
    fn new() -> Self {
        metrics::gauge!(metric::HTTP_CONNECTIONS).increment(1.0);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!(metric::HTTP_CONNECTIONS).decrement(1.0);
    }
}
