use std::time::Duration;

use crate::event::TableName;

use super::super::error::is_passing;

/// A snapshot that could not be opened, or not be read to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server is away or busy: the same may succeed later.
    #[error(transparent)]
    Postgres(#[from] super::super::Error),
    /// The table is not what the catalog said: read the catalog again, then ask again.
    #[error("table {table} has changed since the catalog was read")]
    SchemaChanged {
        /// The table.
        table: TableName,
    },
    /// The condition raised an error, on some row or as a whole: the client's own affair.
    #[error("the filter raised an error on table {table}: {message}")]
    Filter {
        /// The table.
        table: TableName,
        /// PostgreSQL's message.
        message: String,
    },
    /// The role may not read the table, or a row-level policy applies to it.
    #[error("table {table} cannot be read: {message}")]
    Forbidden {
        /// The table.
        table: TableName,
        /// PostgreSQL's message.
        message: String,
    },
    /// Another transaction, most likely DDL, holds the table: the same may succeed later.
    #[error("table {table} is locked by another transaction")]
    Locked {
        /// The table.
        table: TableName,
    },
    /// It was not read to its end in time.
    #[error("the snapshot of table {table} was not read within {timeout:?}")]
    Timeout {
        /// The table.
        table: TableName,
        /// How long it had.
        timeout: Duration,
    },
}

impl Error {
    pub(super) fn changed(table: &TableName) -> Self {
        Self::SchemaChanged { table: table.clone() }
    }

    /// Tells by PostgreSQL's code whose affair an error is.
    ///
    /// See <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    pub(super) fn classify(table: &TableName, timeout: Duration, source: tokio_postgres::Error) -> Self {
        let table = table.clone();
        let Some(error) = source.as_db_error() else {
            return Self::Postgres(super::super::Error::query("read a snapshot")(source));
        };
        let message = error.message().to_owned();
        match error.code().code() {
            // A relation, schema or column that is not there, or a relation of another kind.
            "42P01" | "3F000" | "42703" | "42809" => Self::SchemaChanged { table },
            "42501" => Self::Forbidden { table, message },
            "55P03" => Self::Locked { table },
            // Cancelled by `statement_timeout`, or idle for too long.
            "57014" | "25P03" => Self::Timeout { table, timeout },
            _ if is_passing(error.code()) => {
                Self::Postgres(super::super::Error::query("read a snapshot")(source))
            }
            // Data exceptions, operators that do not exist, what a function raises.
            code if ["22", "42", "P0", "21", "38", "39", "0A"].contains(&&code[..2]) => {
                Self::Filter { table, message }
            }
            _ => Self::Postgres(super::super::Error::query("read a snapshot")(source)),
        }
    }
}
