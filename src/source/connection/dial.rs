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
use tokio::net::{TcpStream, UnixStream};
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
        match reach(config, endpoint, tls.as_ref()).await {
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

/// Connects to the first address of a server that answers.
async fn reach(
    config: &Config,
    endpoint: &Endpoint,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<Connection, Error> {
    let limit = config.settings.connect_timeout();
    let located = timeout(limit, endpoint.located())
        .await
        .map_err(|_| silent(endpoint, limit))?
        .map_err(|source| unreachable(endpoint, source))?;
    first_of(config, &located, tls).await
}

/// Each address has the whole time: one that never answers must not use up that of the others.
async fn first_of(
    config: &Config,
    located: &[Endpoint],
    tls: Option<&Arc<ClientConfig>>,
) -> Result<Connection, Error> {
    let limit = config.settings.connect_timeout();
    let mut last = None;
    for endpoint in located {
        let attempt = timeout(limit, attempt(config, endpoint, tls)).await;
        match attempt.unwrap_or_else(|_| Err(silent(endpoint, limit))) {
            // Another address of the same server may do better.
            Err(
                error @ (Error::Unreachable { .. }
                | Error::ConnectTimeout { .. }
                | Error::Lost(_)
                | Error::Standby { .. }),
            ) => {
                last = Some(error);
            }
            done => return done,
        }
    }
    Err(last.expect("a server is somewhere"))
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
    let Some(tls) = tls else { return plain(config, endpoint).await };
    let may_do_without =
        settings.ssl_mode() == SslMode::Prefer && settings.tls().channel_binding != Binding::Require;
    let failure = match encrypted(config, endpoint, name, tls).await {
        Ok(connection) => return Ok(connection),
        Err(failure) => failure,
    };
    // As libpq does: where TLS is but preferred, a server that has none of it, breaks off or wants none of us over it
    // (`hostnossl`) is tried without.
    match &failure {
        Error::NoTls { .. } | Error::Handshake { .. } if may_do_without => plain(config, endpoint).await,
        Error::Refused { source, .. } if may_do_without && source.code == "28000" => {
            plain(config, endpoint).await.map_err(|_| failure)
        }
        _ => Err(failure),
    }
}

async fn plain(config: &Config, endpoint: &Endpoint) -> Result<Connection, Error> {
    let socket = connect(endpoint).await?;
    log_in(config, endpoint, Either::Right(Either::Left(socket)), Channel::Plain).await
}

async fn encrypted(
    config: &Config,
    endpoint: &Endpoint,
    name: &str,
    tls: &Arc<ClientConfig>,
) -> Result<Connection, Error> {
    let handshake = |source| Error::Handshake { endpoint: endpoint.to_string(), source };
    let mut socket = connect(endpoint).await?;
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

async fn connect(endpoint: &Endpoint) -> Result<TcpStream, Error> {
    let failed = |source| unreachable(endpoint, source);
    let address = endpoint.address.expect("a server that is reached over TCP was located");
    let socket = TcpStream::connect(SocketAddr::new(address, endpoint.port)).await.map_err(failed)?;
    socket.set_nodelay(true).map_err(failed)?;
    SockRef::from(&socket).set_tcp_keepalive(&KEEPALIVE).map_err(failed)?;
    Ok(socket)
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

fn silent(endpoint: &Endpoint, limit: Duration) -> Error {
    Error::ConnectTimeout { endpoint: endpoint.to_string(), timeout: limit }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::postgres::Settings;

    #[tokio::test]
    async fn an_address_that_never_answers_does_not_use_up_the_time_of_the_next() {
        let mute = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let closing = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let settings = Settings::parse("host=db.invalid user=u sslmode=disable").expect("valid");
        let settings = settings.with_default_connect_timeout(Duration::from_millis(200));
        let config = Config::new(settings, "p", "s");
        let at = |listener: &TcpListener| {
            let address = listener.local_addr().expect("bound");
            let endpoint = config.settings.endpoints()[0].clone();
            Endpoint { address: Some(address.ip()), port: address.port(), ..endpoint }
        };
        let located = [at(&mute), at(&closing)];
        let (failure, _) =
            tokio::join!(first_of(&config, &located, None), async { closing.accept().await.map(drop) });
        let failure = failure.map(drop).expect_err("nobody lets us in");
        assert!(matches!(failure, Error::Lost(_)), "the second address was tried: {failure}");
    }
}
