//! The edge: accepts connections, routes requests, upgrades to WebSocket, streams server-sent events.
//!
//! ```text
//!  accept ──▶ connection ──▶ route ─┬─ /v1/socket  upgrade ─▶ session::serve   (a task of its own, hyper is gone)
//!                                   ├─ /v1/stream  body    ─▶ session::stream
//!                                   ├─ /v1/publish ─▶ journal::Publisher
//!                                   ├─ /v1/session ─▶ auth::Authenticator
//!                                   ├─ /v1/…       command::Commands, query::Queries
//!                                   ├─ /healthz /readyz /metrics
//!                                   └─ / and its files, held in memory: Pages
//! ```
//!
//! Who asks is told by a token or by a session's cookie ([`auth`](crate::auth)), before anything else is looked at.
//!
//! Whatever is refused is answered with `application/problem+json` (RFC 9457), or, on a WebSocket, with a close code:
//! a browser cannot read the status of a refused upgrade.

mod api;
mod connection;
mod cookie;
mod document;
mod forwarded;
mod headers;
mod line;
mod origin;
mod problem;
mod publish;
mod route;
mod session;
mod socket;
mod stream;
pub mod tls;
mod visit;
mod web;
mod who;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::http::uri::Authority;
use tokio::net::TcpListener;

use crate::audit::Audit;
use crate::command::Commands;
use crate::journal::Publisher;
use crate::limit::Limits;
use crate::query::Queries;
use crate::session::Services;
use crate::shutdown::Scope;

pub use forwarded::{Header, Proxies};
pub use origin::Origins;
pub use tls::Tls;
pub use web::Pages;

/// What the edge listens to and whom it lets in.
#[derive(Clone, Debug)]
pub struct Config {
    /// The most connections at once; further ones are told so with 503 and closed.
    pub max_connections: usize,
    /// How long a client may take for the TLS handshake, for the head of a request, and for its body.
    pub handshake_timeout: Duration,
    /// How long a client may take no byte of what is written to it.
    pub write_timeout: Duration,
    /// How large the head of a request may be, in bytes; 8,192 at least.
    pub header_bytes: usize,
    /// How many header fields it may have.
    pub headers: usize,
    /// The largest event that is taken, in bytes.
    pub event_bytes: usize,
    /// Whether `POST /v1/publish` takes them.
    pub publishes: bool,
    /// Which pages may connect.
    pub origins: Origins,
    /// Whose word on a client's address is believed.
    pub proxies: Proxies,
}

/// What the page at `/` is, and is told.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Where its build is; none for no build.
    pub folder: Option<PathBuf>,
    /// How it logs in; none for a page without a login.
    pub login: Option<Login>,
    /// Servers of the same data, its own among them: where it may go on.
    pub servers: Vec<Authority>,
    /// What controls a demo; none beside one.
    pub control: Option<String>,
}

/// How the page logs in, as a public client of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The provider, to the letter: OpenID Connect's document is below it.
    pub issuer: String,
    /// Its scheme, host and port.
    pub origin: String,
    /// What it knows the page as.
    pub client_id: String,
    /// What the page asks for.
    pub scope: String,
    /// For whom its access tokens are to be, if that is said.
    pub resource: Option<String>,
}

/// What answers requests need.
#[derive(Clone)]
pub struct Context {
    /// What sessions share.
    pub services: Arc<Services>,
    /// The edge's own limits.
    pub config: Arc<Config>,
    /// How much one client may ask.
    pub limits: Arc<Limits>,
    /// Who asks for what is told here.
    pub audit: Audit,
    /// Why the server is not ready, if it is not.
    pub ready: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// Takes events.
    pub publisher: Publisher,
    /// The reference application; none where it is left off.
    pub application: Option<Application>,
    /// The text of `/metrics`.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// What is answered at `/` and below.
    pub pages: Arc<Pages>,
    /// TLS; none for plain connections.
    pub tls: Option<Arc<Tls>>,
}

/// Commands and reads, and the document that describes them.
#[derive(Clone, Debug)]
pub struct Application {
    /// What writes.
    pub commands: Commands,
    /// What reads.
    pub queries: Queries,
    /// The largest body that is taken, in bytes.
    pub body_bytes: usize,
    document: Bytes,
}

impl Application {
    /// Of these; requests of at most so many bytes.
    pub fn new(commands: Commands, queries: Queries, body_bytes: usize) -> Self {
        let document = document::of(commands.catalogue(), queries.catalogue()).to_string().into();
        Self { commands, queries, body_bytes, document }
    }
}

/// The server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The certificate or its key is of no use.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// `SIGHUP` cannot be waited for.
    #[error("cannot listen for SIGHUP")]
    Signal(#[source] std::io::Error),
}

/// Listens on `address`.
///
/// # Errors
/// [`Error::Listen`].
pub async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}

/// Accepts connections until `scope` closes.
pub async fn run(listener: TcpListener, context: Context, scope: Scope) {
    connection::accept(listener, context, scope).await;
}
