use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::SecureUrl;

/// A document may be this large: some hundred times a set of keys.
const MOST_BYTES: usize = 256 * 1_024;
/// How long one may take, from the name to the last byte.
const PATIENCE: Duration = Duration::from_secs(5);

/// Fetches documents of some kilobytes, each over a connection of its own: there are two in five minutes.
///
/// Redirections are not followed: where keys come from is for the configuration to say.
#[derive(Clone)]
pub(super) struct Fetcher {
    tls: TlsConnector,
}

/// A document that could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("it did not come within {PATIENCE:?}")]
    TimedOut,
    #[error("the connection could not be opened")]
    Connect(#[source] io::Error),
    #[error("the exchange broke")]
    Exchange(#[source] hyper::Error),
    #[error("the answer has status {0}")]
    Status(StatusCode),
    #[error("the answer could not be read, of at most {MOST_BYTES} bytes")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Fetcher {
    /// One that believes whom the operating system believes.
    pub(super) fn new() -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// The document at `url`.
    pub(super) async fn get(&self, url: &SecureUrl) -> Result<Bytes, FetchError> {
        timeout(PATIENCE, self.connect(url)).await.unwrap_or(Err(FetchError::TimedOut))
    }

    async fn connect(&self, url: &SecureUrl) -> Result<Bytes, FetchError> {
        let stream = TcpStream::connect((url.host(), url.port())).await.map_err(FetchError::Connect)?;
        if !url.is_encrypted() {
            return exchange(stream, url).await;
        }
        let name = ServerName::try_from(url.host().to_owned()).map_err(io::Error::other);
        let stream = self.tls.connect(name.map_err(FetchError::Connect)?, stream).await;
        exchange(stream.map_err(FetchError::Connect)?, url).await
    }
}

async fn exchange<S>(stream: S, url: &SecureUrl) -> Result<Bytes, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let opened = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = opened.map_err(FetchError::Exchange)?;
    let request = Request::get(url.path())
        .header(HOST, url.authority())
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("tidegate/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .expect("a URL's parts are a request's");
    let asked = async {
        let response = sender.send_request(request).await.map_err(FetchError::Exchange)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), MOST_BYTES).collect().await;
        Ok(body.map_err(FetchError::Body)?.to_bytes())
    };
    let (mut asked, mut connection) = (pin!(asked), pin!(connection));
    tokio::select! {
        biased;
        answer = &mut asked => answer,
        // The connection ends with its last byte, which may not have been taken yet.
        _ = &mut connection => asked.await,
    }
}
