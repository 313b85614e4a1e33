use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, Uri, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::address::Address;
use crate::protocol::SUBPROTOCOL;

/// For all of it: name, TCP, TLS, upgrade.
const CONNECT: Duration = Duration::from_secs(10);
/// A row of 100 MB is a frame of its own, and JSON may write a byte in six.
const MAX_FRAME_BYTES: usize = 1 << 30;

/// A conversation over TCP, or over TLS.
pub(super) type Socket = WebSocketStream<Box<dyn Io>>;

pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("no answer within {} s", CONNECT.as_secs())]
    TimedOut,
    #[error("no connection over TCP")]
    Tcp(#[source] io::Error),
    #[error("the operating system's trusted certificates cannot be read")]
    Roots(#[source] rustls_native_certs::Error),
    #[error("`{0}` is no name that a certificate can be checked against")]
    Name(String, #[source] InvalidDnsNameError),
    #[error("no TLS")]
    Tls(#[source] io::Error),
    #[error("a token has printable ASCII characters only")]
    Token,
    #[error("the server answered HTTP {0} instead of opening a WebSocket: is it Tidegate?")]
    Status(u16),
    #[error("no WebSocket")]
    Upgrade(#[source] tungstenite::Error),
    #[error(transparent)]
    Rustls(rustls::Error),
}

/// Opens the socket at `address`.
pub(super) async fn connect(address: &Address, token: Option<&str>) -> Result<Socket, ConnectError> {
    timeout(CONNECT, open(address, token)).await.map_err(|_| ConnectError::TimedOut)?
}

async fn open(address: &Address, token: Option<&str>) -> Result<Socket, ConnectError> {
    let request = request(address, token)?;
    let tcp = TcpStream::connect((&*address.host, address.port)).await.map_err(ConnectError::Tcp)?;
    // Frames are small and each is awaited.
    tcp.set_nodelay(true).map_err(ConnectError::Tcp)?;
    let stream: Box<dyn Io> =
        if address.secure { Box::new(secure(address, tcp).await?) } else { Box::new(tcp) };
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MAX_FRAME_BYTES))
        .max_frame_size(Some(MAX_FRAME_BYTES));
    match client_async_with_config(request, stream, Some(limits)).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => Err(ConnectError::Status(response.status().as_u16())),
        Err(error) => Err(ConnectError::Upgrade(error)),
    }
}

fn request(address: &Address, token: Option<&str>) -> Result<Request, ConnectError> {
    let uri: Uri = address.to_string().parse().expect("made of the parts of one");
    let mut request = uri.into_client_request().map_err(ConnectError::Upgrade)?;
    let mut add = |name: HeaderName, value: HeaderValue| request.headers_mut().insert(name, value);
    add(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    if let Some(token) = token {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| ConnectError::Token)?;
        value.set_sensitive(true);
        add(header::AUTHORIZATION, value);
    }
    Ok(request)
}

async fn secure(
    address: &Address,
    tcp: TcpStream,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, ConnectError> {
    let name = ServerName::try_from(address.host.clone())
        .map_err(|error| ConnectError::Name(address.host.clone(), error))?;
    TlsConnector::from(Arc::new(tls()?)).connect(name, tcp).await.map_err(ConnectError::Tls)
}

fn tls() -> Result<ClientConfig, ConnectError> {
    let mut found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    match found.errors.pop() {
        Some(error) if roots.is_empty() => return Err(ConnectError::Roots(error)),
        // Some of many that cannot be read: the one that is needed may be among the others.
        _ => {}
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ConnectError::Rustls)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
