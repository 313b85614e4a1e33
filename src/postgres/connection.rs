use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::line::{ClearText, Lines};
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
    lines: Lines,
    /// Statements that PostgreSQL has parsed for this session: as many as the code has that ask for it.
    prepared: Mutex<HashMap<&'static str, Statement>>,
}

/// Makes connections by one [`Settings`].
#[derive(Clone)]
pub(super) struct Connector {
    settings: Arc<Settings>,
    lines: Lines,
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

    /// A statement that this session has parsed, or parses now. Its parameters are of the types that their places ask for.
    pub(super) async fn prepared(&self, sql: &'static str) -> Result<Statement, tokio_postgres::Error> {
        if let Some(statement) = self.prepared.lock().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.prepared.lock().insert(sql, statement.clone());
        Ok(statement)
    }

    /// Asks the server to give up what it is doing for this session.
    ///
    /// The request goes its own way and may arrive late: the session must not be used again.
    pub(super) async fn cancel(&self) -> Result<(), tokio_postgres::Error> {
        self.client.cancel_token().cancel_query(self.lines.clone()).await
    }

    /// Cuts the line: for a session that does not come clean, where taking leave in good order could wait for ever.
    pub(super) fn cut(self) {
        self.driver.abort();
    }
}

impl Connector {
    pub(super) fn new(settings: Settings) -> Result<Self, Error> {
        let config = tls::client_config(&settings).map_err(Error::Tls)?;
        let lines = Lines::new(MakeRustlsConnect::new(ClientConfig::clone(&config)), settings.tls());
        Ok(Self { settings: Arc::new(settings), lines })
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

    /// Connects to the first address of a server that answers.
    async fn connect_to(&self, endpoint: &Endpoint) -> Result<Connection, Error> {
        let wait = self.settings.connect_timeout();
        let located = timeout(wait, endpoint.located())
            .await
            .map_err(|_| Error::ConnectTimeout { endpoint: endpoint.to_string(), timeout: wait })?
            .map_err(|source| Error::Unlocated { endpoint: endpoint.to_string(), source })?;
        self.first_of(&located).await
    }

    /// Each address has the whole time: one that never answers must not use up that of the others.
    async fn first_of(&self, located: &[Endpoint]) -> Result<Connection, Error> {
        let mut last = None;
        for endpoint in located {
            match self.connect_at(endpoint).await {
                Err(error) if is_out_of_reach(&error) => last = Some(error),
                done => return done,
            }
        }
        Err(last.expect("a server is somewhere"))
    }

    async fn connect_at(&self, endpoint: &Endpoint) -> Result<Connection, Error> {
        let wait = self.settings.connect_timeout();
        let mut config = self.settings.for_endpoint(endpoint);
        config.options(self.settings.startup_options(&[]));
        if self.settings.application_name().is_none() {
            config.application_name(APPLICATION_NAME);
        }
        let connecting = async {
            match log_in(&config, &self.lines).await {
                // Poolers take few startup parameters or none: then the same by statement.
                Err(error) if error.code() == Some(&SqlState::PROTOCOL_VIOLATION) => {
                    config.options(self.settings.options().unwrap_or_default());
                    let connection = log_in(&config, &self.lines).await?;
                    connection.batch_execute(&pinned_statements()).await?;
                    Ok(connection)
                }
                // As libpq does for `prefer`: a server that lets this role in without TLS only is taken at its word.
                Err(error) if error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
                    match self.lines.plain() {
                        Some(plain) => log_in(&config, &plain).await.map_err(|_| error),
                        None => Err(error),
                    }
                }
                done => done,
            }
        };
        match timeout(wait, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(source)) => {
                let (endpoint, user) = (endpoint.to_string(), self.settings.user().to_owned());
                Err(if asks_for_clear_text(&source) {
                    Error::ClearText { endpoint, user, source }
                } else {
                    Error::Connect { endpoint, user, source }
                })
            }
            Err(_) => Err(Error::ConnectTimeout { endpoint: endpoint.to_string(), timeout: wait }),
        }
    }
}

async fn log_in(config: &tokio_postgres::Config, lines: &Lines) -> Result<Connection, tokio_postgres::Error> {
    let (client, connection) = config.connect(lines.clone()).await?;
    Ok(Connection {
        client,
        driver: spawn(drive(connection)),
        lines: lines.clone(),
        prepared: Mutex::default(),
    })
}

/// Whether another address of the same server may do better: this one has said nothing, or is a standby.
fn is_out_of_reach(error: &Error) -> bool {
    match error {
        Error::ConnectTimeout { .. } => true,
        Error::Connect { source, .. } => source.code().is_none(),
        _ => false,
    }
}

fn asks_for_clear_text(error: &tokio_postgres::Error) -> bool {
    let Some(source) = std::error::Error::source(error) else { return false };
    let inner = source.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inner.and_then(|inner| inner.downcast_ref()).is_some_and(|ClearText| true)
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_address_that_never_answers_does_not_use_up_the_time_of_the_next() {
        let mute = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let closing = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let settings = Settings::parse("host=db.invalid user=u sslmode=disable").expect("valid");
        let settings = settings.with_default_connect_timeout(Duration::from_millis(200));
        let at = |listener: &TcpListener| {
            let address = listener.local_addr().expect("bound");
            Endpoint { address: Some(address.ip()), port: address.port(), ..settings.endpoints()[0].clone() }
        };
        let located = [at(&mute), at(&closing)];
        let connector = Connector::new(settings).expect("no TLS");
        let (failure, _) =
            tokio::join!(connector.first_of(&located), async { closing.accept().await.map(drop) });
        let named = format!("db.invalid:{} ", located[1].port);
        let failure = failure.map(drop).expect_err("nobody lets us in");
        assert!(
            matches!(failure, Error::Connect { .. }) && failure.to_string().contains(&named),
            "{failure}"
        );
    }
}
