//! `tidegate types`: the published tables as TypeScript, as the protocol encodes their values.
//!
//! Exit status: 0; 1 if nothing is published; 2 if the database could not be looked at.

mod typescript;

use std::path::PathBuf;

use clap::Args;

use crate::config::{self, Layers};
use crate::postgres::{self, Connection, catalog};

use super::check;

/// Writes TypeScript types of the published tables, as the protocol encodes them.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The file to write; without one, to standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Why there are no types.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The conversation went wrong.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    /// Standard output did not take them.
    #[error(transparent)]
    Output(#[from] check::Error),
    /// The file did not.
    #[error("could not write `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is nothing to describe.
    #[error(
        "publication `{publication}` holds no table that can be followed; `tidegate check` says why, and \
         `tidegate check --fix` makes it"
    )]
    Empty {
        /// The publication.
        publication: String,
    },
}

impl Error {
    /// 1 if the database was looked at, 2 if not.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Empty { .. } => 1,
            Self::Config(_) | Self::Postgres(_) | Self::Output(_) | Self::File { .. } => 2,
        }
    }
}

/// Reads the catalog, and writes the types.
///
/// # Errors
/// [`Error`], with an exit status of its own.
pub async fn run(arguments: Arguments, layers: Layers) -> Result<(), Error> {
    let config = layers.load()?;
    let publication = &config.postgres.publication;
    let mut session = Connection::open(&config.postgres.settings()).await?;
    let catalog = catalog::load(session.client_mut(), publication).await?;
    let tables = catalog.tables();
    if tables.is_empty() {
        return Err(Error::Empty { publication: publication.clone() });
    }
    let text = typescript::write(tables.iter().map(|table| &***table), publication);
    match arguments.output {
        None => Ok(check::print(text.as_bytes())?),
        Some(path) => tokio::fs::write(&path, text).await.map_err(|source| Error::File { path, source }),
    }
}
