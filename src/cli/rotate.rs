//! `tidegate rotate`: encrypts people's contacts with the newest key.
//!
//! Exit status: 0 if all of them are; 1 if one could not be read; 2 if the database could not be reached.

use clap::Args;

use super::check;
use crate::command;
use crate::config::{self, Layers};
use crate::postgres::{self, Pool};
use crate::workspace::Vault;

/// Encrypts people's contacts with the first of `app.contact_keys`, so that older keys can be taken away. Servers that
/// know both keys go on meanwhile. It can be run again at any time.
#[derive(Args, Debug)]
pub struct Arguments {}

/// Why not all of them are.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The database cannot be reached.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    /// It did not come to the end.
    #[error(transparent)]
    Rotate(#[from] command::RotateError),
    /// What was done could not be said.
    #[error(transparent)]
    Output(#[from] check::Error),
}

impl Error {
    /// 1 if the database was reached, 2 if not.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Rotate(command::RotateError::Unreadable { .. }) => 1,
            _ => 2,
        }
    }
}

/// Encrypts what is to be encrypted, and says how much that was.
///
/// # Errors
/// [`Error`], with an exit status of its own.
pub async fn run(_: Arguments, layers: Layers) -> Result<(), Error> {
    let config = layers.load()?;
    let pool = Pool::new(config.postgres.settings(), 1, config.postgres.connect_timeout)?;
    let vault = Vault::new(config.app.contact_keys.clone());
    let done = command::rotate(&pool, &vault).await?;
    let told = match done {
        0 => "all contacts are encrypted with the newest key\n".to_owned(),
        done => format!("encrypted the contacts of {done} people with the newest key\n"),
    };
    Ok(check::print(told.as_bytes())?)
}
