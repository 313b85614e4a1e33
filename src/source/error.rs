use std::fmt;
use std::io;
use std::time::Duration;

use crate::pgoutput::DecodeError;
use crate::postgres::tls;
use crate::telemetry::Chain;

/// What went wrong between PostgreSQL and the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// None of several servers could be used; each with its reason.
    #[error("none of the servers could be used: {}", Attempts(.0))]
    NoServer(Vec<Error>),
    /// TLS cannot be set up on this side.
    #[error("TLS could not be set up")]
    Tls(#[source] tls::Error),
    /// The server's name could not be looked up, or nobody answers there.
    #[error("could not reach PostgreSQL at `{endpoint}`")]
    Unreachable {
        /// Where.
        endpoint: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server did not answer in time.
    #[error("PostgreSQL at `{endpoint}` did not answer within {timeout:?} (`connect_timeout`)")]
    ConnectTimeout {
        /// Where.
        endpoint: String,
        /// The limit.
        timeout: Duration,
    },
    /// The server has no TLS, and TLS is demanded.
    #[error("PostgreSQL at `{endpoint}` has no TLS: set `ssl = on` there, or ask for `sslmode=disable`")]
    NoTls {
        /// Where.
        endpoint: String,
    },
    /// The TLS handshake failed: the certificate's name or signer, mostly.
    #[error("no TLS with PostgreSQL at `{endpoint}`")]
    Handshake {
        /// Where.
        endpoint: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server does not let this role in, or not for replication.
    #[error("PostgreSQL at `{endpoint}` refused the replication connection")]
    Refused {
        /// Where.
        endpoint: String,
        /// Its words.
        #[source]
        source: Box<ServerError>,
    },
    /// The server does not know what a replication connection starts with.
    #[error(
        "`{endpoint}` refused the startup parameters of a replication connection: name PostgreSQL itself there, \
         not a pooler"
    )]
    Pooler {
        /// Where.
        endpoint: String,
        /// Its words.
        #[source]
        source: Box<ServerError>,
    },
    /// The password exchange cannot be done, or must not be.
    #[error("cannot log in to PostgreSQL at `{endpoint}`: {reason}")]
    Login {
        /// Where.
        endpoint: String,
        /// What stands against it, and what to do.
        reason: &'static str,
    },
    /// The password exchange went wrong: the server may not be the one that knows the password.
    #[error("the password exchange with PostgreSQL at `{endpoint}` went wrong")]
    Scram {
        /// Where.
        endpoint: String,
        /// How.
        #[source]
        source: io::Error,
    },
    /// The server is a standby.
    #[error("PostgreSQL at `{endpoint}` is a standby: the slot is on the primary")]
    Standby {
        /// Where.
        endpoint: String,
    },
    /// The server is older than what the source reads.
    #[error("PostgreSQL {version} is too old: 14 or later is needed")]
    Version {
        /// Its own word.
        version: String,
    },
    /// The publication is not there yet.
    // Not the statement: one for all tables would have updates of those without an identity fail.
    #[error(
        "there is no publication `{publication}`: the server makes it when it next reads the catalog, and \
         `tidegate check --fix` does at once"
    )]
    NoPublication {
        /// The publication.
        publication: String,
    },
    /// The slot was created before its publication, so what it holds can never be read.
    #[error("slot `{slot}` is older than publication `{publication}` and cannot be read")]
    OlderThanPublication {
        /// The slot.
        slot: String,
        /// The publication.
        publication: String,
        /// The server's words.
        #[source]
        source: Box<ServerError>,
    },
    /// A slot of this name exists and is for something else.
    #[error("slot `{slot}` {what}: choose another name as `postgres.slot`, or drop it by `{sql}`")]
    UnfitSlot {
        /// The slot.
        slot: String,
        /// What is wrong with it.
        what: String,
        /// What mends it.
        sql: String,
    },
    /// The server refused a command.
    #[error("PostgreSQL refused to {action}")]
    Server {
        /// What was asked for.
        action: &'static str,
        /// Its words.
        #[source]
        source: Box<ServerError>,
    },
    /// The connection broke.
    #[error("lost the replication connection")]
    Lost(#[source] io::Error),
    /// The server ended the stream, as it does when it shuts down.
    #[error("PostgreSQL ended the replication stream")]
    Ended,
    /// Nothing came for too long, an answer to our own question included.
    #[error("PostgreSQL said nothing for {seconds} s")]
    Silent {
        /// How long.
        seconds: u64,
    },
    /// The reader wants all that it has not confirmed to come again.
    #[error("what was not confirmed has to come again")]
    ReaderLost,
    /// The server said something that it cannot say here.
    #[error("unexpected answer of PostgreSQL: {0}")]
    Unexpected(&'static str),
    /// A message that cannot be read.
    #[error("a message of the stream cannot be read")]
    Decode(#[from] DecodeError),
    /// Messages that contradict each other.
    #[error("the stream is out of order: {0}")]
    Order(&'static str),
    /// A row of a table that was not described.
    #[error("a row of relation {oid}, which was never described")]
    UnknownRelation {
        /// The table.
        oid: u32,
    },
    /// A row that does not fit the description of its table.
    #[error("a row of `{table}` has {received} columns, and its description {described}")]
    ColumnCount {
        /// The table.
        table: String,
        /// Columns in the description.
        described: usize,
        /// Columns in the row.
        received: usize,
    },
    /// A transaction of more changes than can be numbered.
    #[error("transaction {xid} has more than 4,294,967,295 changes")]
    TooLong {
        /// The transaction.
        xid: u32,
    },
}

/// What brings the source back after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Another connection, after a pause.
    Reconnect,
    /// Another slot in the place of this one, and everything from the start.
    Recreate,
    /// Nothing but a change of the configuration.
    Halt,
}

impl Error {
    /// What brings the source back after this error.
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Tls(_)
            | Self::Login { .. }
            | Self::Version { .. }
            | Self::UnfitSlot { .. }
            | Self::TooLong { .. } => Recovery::Halt,
            Self::OlderThanPublication { .. } => Recovery::Recreate,
            Self::NoServer(attempts) if attempts.iter().all(|error| error.recovery() == Recovery::Halt) => {
                Recovery::Halt
            }
            _ => Recovery::Reconnect,
        }
    }

    /// The server's own code for it (`SQLSTATE`), if it is the server's word.
    pub(super) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { source, .. }
            | Self::Pooler { source, .. }
            | Self::OlderThanPublication { source, .. }
            | Self::Server { source, .. } => Some(&source.code),
            _ => None,
        }
    }
}

struct Attempts<'a>(&'a [Error]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { "; " }, Chain(error))?;
        }
        Ok(())
    }
}

/// What PostgreSQL answered instead.
///
/// See <https://www.postgresql.org/docs/current/protocol-error-fields.html>.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    /// Its code, as in `28P01`; see <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    pub code: String,
    /// Its words, in its own language.
    pub message: String,
    /// More of them.
    pub detail: Option<String>,
    /// What it advises.
    pub hint: Option<String>,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for more in [&self.detail, &self.hint].into_iter().flatten() {
            write!(f, "; {more}")?;
        }
        write!(f, " (SQLSTATE {})", self.code)
    }
}

impl std::error::Error for ServerError {}
