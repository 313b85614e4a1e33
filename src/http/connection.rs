use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Parts};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{self, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::line::{self, Line};
use super::problem::Body;
use super::visit::Peer;
use super::{Context, route};
use crate::auth::Identity;
use crate::limit::{Denied, Seat, Subject};
use crate::protocol::{CloseCode, ErrorCode};
use crate::session::{self, Guest};
use crate::shutdown::Scope;
use crate::telemetry::{Chain, metric};

/// After an accept that failed for want of resources, the next one is tried this much later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections beyond the most that are told so at the same time; further ones are closed without a word.
const TURNED_AWAY: usize = 64;
/// How long one that is turned away may take to hear it.
const GOODBYE: Duration = Duration::from_secs(1);
/// What a request left to be done with the connection, once its answer has been sent.
#[derive(Debug)]
pub(super) struct Upgrade {
    pub(super) upgrade: OnUpgrade,
    pub(super) then: Then,
}

/// What follows an upgrade.
#[derive(Debug)]
pub(super) enum Then {
    /// A conversation with a guest, who may have to say first who it is; and its place.
    Serve(Guest, Option<Arc<Identity>>, Seat),
    /// A refusal that a browser can read, and for how long to stay away.
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
            Ok((stream, from)) => match admit(&context, from, &places, &turned_away) {
                Some(Admitted::Served(peer, places)) => {
                    scope.spawn("connection", serve(stream, context.clone(), peer, scope.clone(), places));
                }
                Some(Admitted::TurnedAway(why, place)) => {
                    scope.spawn("turned away", turn_away(stream, context.clone(), why, place));
                }
                None => {}
            },
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What becomes of who knocks.
enum Admitted {
    /// It may ask.
    Served(Peer, Places),
    /// It is told why not.
    TurnedAway(NoRoom, OwnedSemaphorePermit),
}

/// Whose connections are too many.
#[derive(Clone, Copy)]
enum NoRoom {
    /// Everybody's.
    OfAll,
    /// Those of one address.
    OfAddress,
}

impl NoRoom {
    const fn reason(self) -> &'static str {
        match self {
            Self::OfAll => "max_connections",
            Self::OfAddress => "max_connections_per_address",
        }
    }

    /// A whole answer, to a request that nobody looks at.
    fn answer(self) -> String {
        let (status, detail, code) = match self {
            Self::OfAll => {
                let detail = "this server has as many connections as it may hold".to_owned();
                (StatusCode::SERVICE_UNAVAILABLE, detail, ErrorCode::Unavailable)
            }
            Self::OfAddress => {
                (StatusCode::TOO_MANY_REQUESTS, Denied::NoSeat.to_string(), ErrorCode::RateLimited)
            }
        };
        let title = status.canonical_reason().unwrap_or("refused");
        let body = format!(
            r#"{{"type":"urn:tidegate:problem:{}","title":"{title}","status":{},"detail":"{detail}","code":"{}"}}"#,
            code.as_str(),
            status.as_u16(),
            code.as_str()
        );
        format!(
            "HTTP/1.1 {} {title}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nretry-after: {}\r\n\
             x-content-type-options: nosniff\r\ncache-control: no-store\r\nconnection: close\r\n\r\n{body}",
            status.as_u16(),
            body.len(),
            Denied::NoSeat.retry_after().as_secs()
        )
    }
}

/// What a connection holds while it is open.
struct Places {
    _place: OwnedSemaphorePermit,
    /// Among its address's; a proxy's has none.
    _seat: Seat,
    /// Among those that are told why they cannot stay.
    _turned_away: Option<OwnedSemaphorePermit>,
}

/// Finds a place for a connection; `None` if it is not even told that there is none.
fn admit(
    context: &Context,
    from: SocketAddr,
    places: &Arc<Semaphore>,
    turned_away: &Arc<Semaphore>,
) -> Option<Admitted> {
    let refused = |why: NoRoom| {
        metrics::counter!(metric::SESSION_REFUSED, metric::REASON => why.reason()).increment(1);
        turned_away.clone().try_acquire_owned().ok().map(|place| Admitted::TurnedAway(why, place))
    };
    let address = from.ip().to_canonical();
    let proxy = context.config.proxies.hold(address);
    let Ok(place) = places.clone().try_acquire_owned() else { return refused(NoRoom::OfAll) };
    // A proxy's connections are its clients': whose, each request says.
    let seat = if proxy { Ok(Seat::default()) } else { context.limits.seat(address) };
    let Ok(seat) = seat else { return refused(NoRoom::OfAddress) };
    let counted = if proxy { Ok(None) } else { context.limits.meter(address).take(Subject::Connections, 1) };
    let denied: Option<Denied> = counted.err();
    // Told by an answer to its request, which says when to come back: a page can read that.
    let told = match denied {
        Some(_) => Some(turned_away.clone().try_acquire_owned().ok()?),
        None => None,
    };
    let peer = Peer { address, proxy, denied };
    Some(Admitted::Served(peer, Places { _place: place, _seat: seat, _turned_away: told }))
}

/// Says that there is no room, whatever is asked for.
async fn turn_away(stream: TcpStream, context: Context, why: NoRoom, _place: OwnedSemaphorePermit) {
    let goodbye = async {
        let mut stream = line::open(stream, context.tls.as_deref(), GOODBYE, GOODBYE).await?;
        stream.write_all(why.answer().as_bytes()).await?;
        stream.shutdown().await?;
        // The request is read, and not looked at: a socket closed on unread bytes is reset, and the reset may overtake
        // the answer.
        let mut unread = [0; 1_024];
        while stream.read(&mut unread).await? > 0 {}
        Ok::<(), io::Error>(())
    };
    // A client that is gone hears no answer.
    _ = timeout(GOODBYE, goodbye).await;
}

/// Serves one connection: requests one after another, until one of them upgrades it.
async fn serve(stream: TcpStream, context: Context, peer: Peer, scope: Scope, places: Places) {
    let open = Open::new();
    // Frames are written whole: there is nothing to wait for. A socket that refuses the option works all the same.
    _ = stream.set_nodelay(true);
    let (tls, config) = (context.tls.as_deref(), &context.config);
    let opened = tokio::select! {
        biased;
        () = scope.closing() => return,
        opened = line::open(stream, tls, config.write_timeout, config.handshake_timeout) => opened,
    };
    let line = match opened {
        Ok(line) => line,
        Err(error) => {
            tracing::debug!(error = %Chain(&error), "a TLS handshake came to nothing");
            return;
        }
    };
    let slot = Slot::default();
    let answer = service_fn(|request: Request<Incoming>| {
        let (context, slot) = (context.clone(), slot.clone());
        async move { Ok::<Response<Body>, Infallible>(route::answer(&context, &peer, request, &slot).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(context.config.handshake_timeout)
        .max_buf_size(context.config.header_bytes)
        .max_header_size(context.config.header_bytes)
        .max_headers(context.config.headers)
        .serve_connection(TokioIo::new(line), answer)
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
    // hyper boxes the connection; ours is known, and that is smaller.
    let Ok(Parts { io, read_buf, .. }) = upgraded.downcast::<TokioIo<Line>>() else { return };
    let services = context.services.clone();
    // A task of its own: what this one held for hyper is given back.
    scope.spawn("session", converse(services, io.into_inner(), read_buf, then, (open, places)));
}

async fn converse(
    services: Arc<session::Services>,
    stream: Line,
    read: Bytes,
    then: Then,
    _held: (Open, Places),
) {
    match then {
        Then::Serve(guest, identity, _seat) => {
            session::serve(services, guest, identity, stream, read).await;
        }
        // Boxed: it would be room in every session.
        Then::Refuse(code, retry_after) => Box::pin(session::refuse(stream, read, code, retry_after)).await,
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
