use std::ops::Deref;
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, Object, PoolError, RecycleError, RecycleResult, TimeoutType};
use tokio_postgres::Client;

use super::connection::Connector;
use super::{Connection, Error, Settings};

/// An idle session answers at once or is lost; a fresh one is then quicker than to go on asking.
const RECYCLE_TIMEOUT: Duration = Duration::from_secs(2);

/// A bounded number of sessions, handed round.
///
/// A session that was lost is replaced by a new one when it would be handed out; while the server is away that is an
/// error at once, and it works again when the server does. Cloned, it is the same pool.
#[derive(Clone)]
pub struct Pool {
    sessions: managed::Pool<Manager>,
    wait: Duration,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("sessions", &self.sessions.status()).finish_non_exhaustive()
    }
}

/// A session of a [`Pool`]: dropped, it goes back.
///
/// Whoever begins a transaction on it must see it ended, also where its own future is dropped: by
/// `tokio_postgres::Transaction`, which rolls back, or by [`Pooled::take`].
pub struct Pooled(Object<Manager>);

impl Pool {
    /// A pool of at most `size` sessions, for each of which is waited at most `wait`. Connects when first asked.
    ///
    /// # Errors
    /// [`Error::Tls`] if the settings name files that cannot be used.
    pub fn new(settings: Settings, size: usize, wait: Duration) -> Result<Self, Error> {
        let sessions = managed::Pool::builder(Manager(Connector::new(settings)?))
            .max_size(size.max(1))
            .wait_timeout(Some(wait))
            .recycle_timeout(Some(RECYCLE_TIMEOUT))
            .runtime(Runtime::Tokio1)
            .build()
            .expect("a runtime is given, which is all that timeouts ask for");
        Ok(Self { sessions, wait })
    }

    /// A session, when one is free.
    ///
    /// # Errors
    /// [`Error::Busy`] if none became free in time; those of connecting.
    pub async fn get(&self) -> Result<Pooled, Error> {
        match self.sessions.get().await {
            Ok(session) => Ok(Pooled(session)),
            Err(PoolError::Backend(error)) => Err(error),
            Err(PoolError::Timeout(TimeoutType::Wait)) => {
                Err(Error::Busy { size: self.sessions.status().max_size, waited: self.wait })
            }
            // Connecting and recycling keep their own time.
            Err(PoolError::Timeout(_) | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_)) => {
                Err(Error::Timeout { operation: "take a connection from the pool", timeout: self.wait })
            }
            Err(PoolError::Closed) => Err(Error::Closed),
        }
    }

    /// A session of one's own, outside of the pool and its bound: for what holds one for the life of the process.
    ///
    /// # Errors
    /// Those of connecting.
    pub async fn dedicated(&self) -> Result<Connection, Error> {
        self.sessions.manager().0.connect().await
    }

    /// Closes idle sessions now and others when they come back; nobody gets one from here on.
    pub fn close(&self) {
        self.sessions.close();
    }
}

impl Pooled {
    /// Takes the session out of the pool, which makes itself a new one when asked.
    pub fn take(self) -> Connection {
        Object::take(self.0)
    }

    /// A statement that this session has parsed, or parses now.
    pub(super) async fn prepared(
        &self,
        sql: &'static str,
    ) -> Result<tokio_postgres::Statement, tokio_postgres::Error> {
        self.0.prepared(sql).await
    }

    /// The client, for a transaction.
    pub fn client_mut(&mut self) -> &mut Client {
        self.0.client_mut()
    }
}

impl Deref for Pooled {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

struct Manager(Connector);

impl managed::Manager for Manager {
    type Type = Connection;
    type Error = Error;

    async fn create(&self) -> Result<Connection, Error> {
        self.0.connect().await
    }

    async fn recycle(&self, session: &mut Connection, _: &Metrics) -> RecycleResult<Error> {
        if session.is_closed() {
            return Err(RecycleError::message("closed"));
        }
        // Asks the server itself: a line that broke without a word looks open from here.
        let asked = session.simple_query("").await;
        asked.map(drop).map_err(|source| RecycleError::Backend(Error::query("reuse a connection")(source)))
    }
}
