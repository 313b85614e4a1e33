use std::time::Duration;

use tokio_postgres::error::SqlState;

use super::tls;

/// Many times what a loaded server needs for a look at its own memory or a flush of its log, and little beside what a
/// client waits before it gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// A conversation with PostgreSQL that did not come about, or broke off.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// TLS cannot be set up on this side: no retry mends it.
    #[error("TLS to PostgreSQL cannot be set up")]
    Tls(#[source] tls::Error),
    /// No server could be logged in to; of several hosts the last one's reason.
    #[error("could not connect to PostgreSQL at {endpoint} as `{user}`")]
    Connect {
        /// The server.
        endpoint: String,
        /// The role.
        user: String,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A server's name has no address.
    #[error("could not find PostgreSQL at {endpoint}")]
    Unlocated {
        /// The server.
        endpoint: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The password would be readable on the line: it was not sent.
    #[error("could not connect to PostgreSQL at {endpoint} as `{user}`")]
    ClearText {
        /// The server.
        endpoint: String,
        /// The role.
        user: String,
        /// Why, and what to do.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A server took too long to answer.
    #[error("PostgreSQL at {endpoint} did not answer within {timeout:?}")]
    ConnectTimeout {
        /// The server.
        endpoint: String,
        /// How long it had.
        timeout: Duration,
    },
    /// Every connection of the pool stayed in use.
    #[error("all {size} connections of the pool were in use for {waited:?}")]
    Busy {
        /// How many there are.
        size: usize,
        /// How long was waited for one.
        waited: Duration,
    },
    /// The pool was closed: the process is on its way out.
    #[error("the pool is closed")]
    Closed,
    /// A statement went wrong.
    #[error("could not {operation}")]
    Query {
        /// What it was for, as in `read the catalog`.
        operation: &'static str,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// An answer that PostgreSQL does not give.
    #[error("could not {operation}: PostgreSQL answered with something else")]
    Answer {
        /// What was asked.
        operation: &'static str,
    },
    /// A statement took too long.
    #[error("could not {operation} within {timeout:?}")]
    Timeout {
        /// What it was for.
        operation: &'static str,
        /// How long it had.
        timeout: Duration,
    },
}

/// What the caller does about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Recovery {
    /// Try again a little later: the server is away, starting, or busy.
    Retry,
    /// Tell someone: the same again gives the same answer.
    Halt,
}

impl Error {
    /// Wraps what went wrong while doing `operation`.
    pub(super) fn query(operation: &'static str) -> impl Fn(tokio_postgres::Error) -> Self + Copy {
        move |source| Self::Query { operation, source }
    }

    /// Waits for the answer to a question that takes a server no time: one that does not answer is away, also where its
    /// line looks open, as it does for a quarter of an hour after a host vanished.
    ///
    /// # Errors
    /// [`Error::Timeout`]; those of the conversation.
    pub(super) async fn within_patience<T>(
        operation: &'static str,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Self> {
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(answer) => answer.map_err(Self::query(operation)),
            Err(_) => Err(Self::Timeout { operation, timeout: PATIENCE }),
        }
    }

    /// PostgreSQL's own code, where it gave one.
    pub fn sql_state(&self) -> Option<&SqlState> {
        match self {
            Self::Connect { source, .. } | Self::Query { source, .. } => source.code(),
            _ => None,
        }
    }

    /// PostgreSQL's code in its own five letters, where it gave one.
    pub fn code(&self) -> Option<&str> {
        self.sql_state().map(SqlState::code)
    }

    /// The constraint that a statement ran into, if one did.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Query { source, .. } => source.as_db_error()?.constraint(),
            _ => None,
        }
    }

    /// What the caller does about it.
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Tls(_) | Self::ClearText { .. } | Self::Answer { .. } | Self::Closed => Recovery::Halt,
            Self::Unlocated { .. }
            | Self::ConnectTimeout { .. }
            | Self::Busy { .. }
            | Self::Timeout { .. } => Recovery::Retry,
            Self::Connect { source, .. } | Self::Query { source, .. } => match source.code() {
                // No code: the line broke, or there was none.
                None => Recovery::Retry,
                Some(state) if is_passing(state) => Recovery::Retry,
                Some(_) => Recovery::Halt,
            },
        }
    }
}

/// Whether `state` tells of the moment (connections, resources, an operator's hand, a lock) and not of the statement.
///
/// See <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
pub(super) fn is_passing(state: &SqlState) -> bool {
    ["08", "40", "53", "55", "57", "58"].contains(&&state.code()[..2])
}
