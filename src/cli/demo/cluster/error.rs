use std::path::PathBuf;

use super::super::machine;

/// Why there is no private cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// PostgreSQL is not installed, or not where it was said to be.
    #[error(
        "no PostgreSQL server programs (`initdb`, `postgres`) in {looked_in}; on Debian: `apt-get install postgresql`"
    )]
    NoBinaries {
        /// Where they were looked for.
        looked_in: String,
    },
    /// Logical replication as Tidegate needs it came with PostgreSQL 14.
    #[error("PostgreSQL {version} in {} is too old: 14 or later is needed", folder.display())]
    TooOld {
        /// The version found.
        version: u32,
        /// Where.
        folder: PathBuf,
    },
    /// The machine does not carry it, or it did not start or stop.
    #[error(transparent)]
    Machine(#[from] machine::Error),
}
