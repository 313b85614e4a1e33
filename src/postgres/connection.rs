use std::future::poll_fn;
use std::ops::Deref;
use std::sync::Arc;

use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::settings::{Endpoint, Settings, pinned_statements};
use super::{Error, tls};

/// What a session is called in `pg_stat_activity` unless the settings name it.
const APPLICATION_NAME: &str = "tidegate";

/// One session, pinned ([`PINNED`](super::settings::PINNED)) and driven by a task of its own.
///
/// Dropped, it takes leave once what was asked has been answered.
pub struct Connection {
    client: Client,
    driver: JoinHandle<()>,
    tls: MakeRustlsConnect,
}

/// Makes connections by one [`Settings`].
#[derive(Clone)]
pub(super) struct Connector {
    settings: Arc<Settings>,
    tls: MakeRustlsConnect,
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Connection {
    /// Connects to the first server of `settings` that can be logged in to, outside of any pool.
    ///
    /// # Errors
    /// The last server's, if none can.
    pub async fn open(settings: &Settings) -> Result<Self, Error> {
        Connector::new(settings.clone())?.connect().await
    }

    /// The client, for a transaction.
    pub fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Asks the server to give up what it is doing for this session.
    ///
    /// The request goes its own way and may arrive late: the session must not be used again.
    pub(super) async fn cancel(&self) -> Result<(), tokio_postgres::Error> {
        self.client.cancel_token().cancel_query(self.tls.clone()).await
    }

    /// Cuts the line: for a session that does not come clean, where taking leave in good order could wait for ever.
    pub(super) fn cut(self) {
        self.driver.abort();
    }
}

impl Connector {
    pub(super) fn new(settings: Settings) -> Result<Self, Error> {
        let config = tls::client_config(&settings).map_err(Error::Tls)?;
        let tls = MakeRustlsConnect::new(ClientConfig::clone(&config));
        Ok(Self { settings: Arc::new(settings), tls })
    }

    /// Connects to the first server that can be logged in to.
    pub(super) async fn connect(&self) -> Result<Connection, Error> {
        let mut last = None;
        for endpoint in self.settings.endpoints() {
            match self.connect_to(endpoint).await {
                Ok(connection) => return Ok(connection),
                Err(error) => {
                    tracing::debug!(%endpoint, error = &error as &dyn std::error::Error, "passed over a server");
                    last = Some(error);
                }
            }
        }
        Err(last.expect("settings name at least one server"))
    }

    async fn connect_to(&self, endpoint: &Endpoint) -> Result<Connection, Error> {
        let wait = self.settings.connect_timeout();
        let mut config = self.settings.for_endpoint(endpoint);
        config.options(self.settings.startup_options(&[]));
        if self.settings.application_name().is_none() {
            config.application_name(APPLICATION_NAME);
        }
        let connecting = async {
            match self.log_in(&config).await {
                // Poolers take few startup parameters or none: then the same by statement.
                Err(error) if error.code() == Some(&SqlState::PROTOCOL_VIOLATION) => {
                    config.options(self.settings.options().unwrap_or_default());
                    let connection = self.log_in(&config).await?;
                    connection.batch_execute(&pinned_statements()).await?;
                    Ok(connection)
                }
                // As libpq does for `prefer`: a server that lets this role in without TLS only is taken at its word.
                Err(error)
                    if config.get_ssl_mode() == SslMode::Prefer
                        && error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION) =>
                {
                    config.ssl_mode(SslMode::Disable);
                    self.log_in(&config).await.map_err(|_| error)
                }
                done => done,
            }
        };
        match timeout(wait, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(source)) => {
                let user = self.settings.user().to_owned();
                Err(Error::Connect { endpoint: endpoint.to_string(), user, source })
            }
            Err(_) => Err(Error::ConnectTimeout { endpoint: endpoint.to_string(), timeout: wait }),
        }
    }

    async fn log_in(&self, config: &tokio_postgres::Config) -> Result<Connection, tokio_postgres::Error> {
        let (client, connection) = config.connect(self.tls.clone()).await?;
        Ok(Connection { client, driver: spawn(drive(connection)), tls: self.tls.clone() })
    }
}

/// Carries a session's messages until its client takes leave or the line breaks.
async fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            None => return,
            Some(Ok(AsyncMessage::Notice(notice))) => {
                tracing::debug!(
                    severity = notice.severity(),
                    notice = notice.message(),
                    "PostgreSQL gave notice"
                );
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::info!(error = &error as &dyn std::error::Error, "a connection to PostgreSQL ended");
                return;
            }
        }
    }
}

/// Sessions outlive the scope of whoever asked for them: a pool hands them round, and they end with their client.
#[expect(clippy::disallowed_methods, reason = "a session's task ends with its client, and only then")]
pub(super) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(task)
}
