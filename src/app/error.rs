use crate::analytics::export;
use crate::postgres::{migrate, publication};
use crate::telemetry::Taken;
use crate::{auth, cache, http, postgres, source};

/// Why the server did not start, or could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Metrics cannot be recorded.
    #[error(transparent)]
    Metrics(#[from] Taken),
    /// Tokens cannot be verified.
    #[error(transparent)]
    Auth(#[from] auth::Error),
    /// Nothing can be remembered.
    #[error(transparent)]
    Cache(#[from] cache::Error),
    /// The address cannot be listened on.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// PostgreSQL refused what is needed.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    /// The publication cannot be made or followed.
    #[error(transparent)]
    Publication(#[from] publication::Error),
    /// The stream cannot be followed.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// The application's tables are not what it is made for.
    #[error(
        "the application's tables are not there yet ({missing}): run `tidegate migrate`, or set app.enabled = false"
    )]
    Unmigrated {
        /// The first migration that is missing.
        missing: String,
    },
    /// The application's tables cannot be looked for.
    #[error(transparent)]
    Migrate(#[from] migrate::Error),
    /// Nothing can be exported.
    #[error(transparent)]
    Export(#[from] export::Error),
    /// A part of the server has a fault of its own; the log says where.
    #[error("the task `{task}` panicked")]
    Panicked {
        /// Which.
        task: &'static str,
    },
}
