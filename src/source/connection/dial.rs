use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::super::{Config, Error};
use super::Connection;
use super::binding::tls_server_end_point;
use super::frames::Frames;
use super::login::Channel;
use crate::postgres::settings::{Binding, Endpoint, Host, Negotiation, SslMode};
use crate::postgres::tls::client_config;

/// What carries the bytes.
pub(super) type Transport = Either<Box<TlsStream<TcpStream>>, Either<TcpStream, UnixStream>>;

/// A host that vanished without a word is noticed after 30 s, also while we only write.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(15))
    .with_interval(Duration::from_secs(5))
    .with_retries(3);

/// Connects to the first of the servers that is a primary and lets us in.
pub(super) async fn dial(config: &Config) -> Result<Connection, Error> {
    let settings = &config.settings;
    let tls = match settings.ssl_mode() {
        SslMode::Disable => None,
        _ => Some(client_config(settings).map_err(Error::Tls)?),
    };
    let endpoints = settings.endpoints();
    let mut failures = Vec::new();
    for endpoint in endpoints {
        let limit = settings.connect_timeout();
        let attempt = timeout(limit, attempt(config, endpoint, tls.as_ref())).await;
        match attempt.unwrap_or_else(|_| {
            Err(Error::ConnectTimeout { endpoint: endpoint.to_string(), seconds: limit.as_secs() })
        }) {
            Ok(connection) => return Ok(connection),
            Err(error) => failures.push(error),
        }
    }
    match failures.pop() {
        Some(only) if failures.is_empty() => Err(only),
        last => {
            failures.extend(last);
            Err(Error::NoServer(failures))
        }
    }
}

async fn attempt(
    config: &Config,
    endpoint: &Endpoint,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<Connection, Error> {
    let mut connection = match &endpoint.host {
        Host::Unix(folder) => {
            let path = folder.join(format!(".s.PGSQL.{}", endpoint.port));
            let socket = UnixStream::connect(path).await.map_err(|source| unreachable(endpoint, source))?;
            log_in(config, endpoint, Either::Right(Either::Right(socket)), Channel::Local).await?
        }
        Host::Tcp(name) => over_tcp(config, endpoint, name, tls).await?,
    };
    let standby = connection.query("tell whether it is a standby", "select pg_is_in_recovery()").await?;
    if standby.first().and_then(|row| row.first()).is_some_and(|value| value.as_deref() == Some("t")) {
        return Err(Error::Standby { endpoint: endpoint.to_string() });
    }
    Ok(connection)
}

async fn over_tcp(
    config: &Config,
    endpoint: &Endpoint,
    name: &str,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<Connection, Error> {
    let settings = &config.settings;
    let Some(tls) = tls else { return plain(config, endpoint, name).await };
    let may_do_without =
        settings.ssl_mode() == SslMode::Prefer && settings.tls().channel_binding != Binding::Require;
    let failure = match encrypted(config, endpoint, name, tls).await {
        Ok(connection) => return Ok(connection),
        Err(failure) => failure,
    };
    // As libpq does: where TLS is but preferred, a server that has none of it, breaks off or wants none of us over it
    // (`hostnossl`) is tried without.
    match &failure {
        Error::NoTls { .. } | Error::Handshake { .. } if may_do_without => {
            plain(config, endpoint, name).await
        }
        Error::Refused { source, .. } if may_do_without && source.code == "28000" => {
            plain(config, endpoint, name).await.map_err(|_| failure)
        }
        _ => Err(failure),
    }
}

async fn plain(config: &Config, endpoint: &Endpoint, name: &str) -> Result<Connection, Error> {
    let socket = connect(endpoint, name).await?;
    log_in(config, endpoint, Either::Right(Either::Left(socket)), Channel::Plain).await
}

async fn encrypted(
    config: &Config,
    endpoint: &Endpoint,
    name: &str,
    tls: &Arc<ClientConfig>,
) -> Result<Connection, Error> {
    let handshake = |source| Error::Handshake { endpoint: endpoint.to_string(), source };
    let mut socket = connect(endpoint, name).await?;
    if config.settings.tls().negotiation == Negotiation::Postgres
        && !offers_tls(endpoint, &mut socket).await?
    {
        return Err(Error::NoTls { endpoint: endpoint.to_string() });
    }
    let server = ServerName::try_from(name.to_owned())
        .map_err(|source| handshake(io::Error::new(io::ErrorKind::InvalidInput, source)))?;
    let stream = TlsConnector::from(Arc::clone(tls)).connect(server, socket).await.map_err(handshake)?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let binding = certificate.and_then(|certificate| tls_server_end_point(certificate));
    log_in(config, endpoint, Either::Left(Box::new(stream)), Channel::Tls { binding }).await
}

/// Asks for TLS as PostgreSQL wants to be asked.
async fn offers_tls(endpoint: &Endpoint, socket: &mut TcpStream) -> Result<bool, Error> {
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    let lost = |source| unreachable(endpoint, source);
    socket.write_all(&request).await.map_err(lost)?;
    match socket.read_u8().await.map_err(lost)? {
        b'S' => Ok(true),
        b'N' => Ok(false),
        _ => Err(Error::Unexpected("to the request for TLS: is it PostgreSQL?")),
    }
}

async fn connect(endpoint: &Endpoint, name: &str) -> Result<TcpStream, Error> {
    let failed = |source| unreachable(endpoint, source);
    let addresses: Vec<SocketAddr> = match endpoint.address {
        Some(address) => vec![(address, endpoint.port).into()],
        None => lookup_host((name, endpoint.port)).await.map_err(failed)?.collect(),
    };
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(socket) => {
                socket.set_nodelay(true).map_err(failed)?;
                SockRef::from(&socket).set_tcp_keepalive(&KEEPALIVE).map_err(failed)?;
                return Ok(socket);
            }
            Err(source) => failure = source,
        }
    }
    Err(failed(failure))
}

async fn log_in(
    config: &Config,
    endpoint: &Endpoint,
    transport: Transport,
    channel: Channel,
) -> Result<Connection, Error> {
    let mut connection =
        Connection { transport, frames: Frames::new(), out: BytesMut::new(), endpoint: endpoint.to_string() };
    connection.log_in(config, &channel).await?;
    connection.frames.trust();
    Ok(connection)
}

fn unreachable(endpoint: &Endpoint, source: io::Error) -> Error {
    Error::Unreachable { endpoint: endpoint.to_string(), source }
}
