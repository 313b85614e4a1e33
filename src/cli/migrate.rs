//! `tidegate migrate`: brings a database to the reference application's schema.
//!
//! Exit status: 0 if nothing is left to apply; 1 if a migration was refused or is not what was applied; 2 if the database
//! could not be reached.

use clap::Args;

use crate::config::{self, Layers};
use crate::postgres;
use crate::postgres::migrate::{self, Schema, Standing, State};

use super::check;

/// Applies the reference application's schema, the numbered files of sql/: each once, in a transaction of its own. Run it
/// as the owner of the database.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Only say which there are, and since when each is applied.
    #[arg(long)]
    list: bool,
}

/// Why something is left to apply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// It did not come to the end.
    #[error(transparent)]
    Migrate(#[from] migrate::Error),
    /// What was done could not be said.
    #[error(transparent)]
    Output(#[from] check::Error),
}

impl Error {
    /// 1 if the database was reached, 2 if not.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Migrate(migrate::Error::Postgres(postgres::Error::Query { .. })) => 1,
            Self::Config(_) | Self::Migrate(migrate::Error::Postgres(_)) | Self::Output(_) => 2,
            Self::Migrate(_) => 1,
        }
    }
}

/// Applies what is left, or lists, and says what it did.
///
/// # Errors
/// [`Error`], with an exit status of its own.
pub async fn run(arguments: Arguments, layers: Layers) -> Result<(), Error> {
    let config = layers.load()?;
    let mut schemas = vec![(Schema::Application, config.postgres.settings(), "")];
    if config.analytics.enabled {
        schemas.push((Schema::Analytics, config.warehouse(), "analytics/"));
    }
    let mut anything = false;
    for (schema, settings, folder) in schemas {
        if arguments.list {
            let standing = migrate::list(schema, &settings).await?;
            check::print(listed(folder, &standing).as_bytes())?;
            continue;
        }
        let outcome = migrate::run(schema, &settings).await;
        if let Ok(applied) | Err(migrate::Error::Refused { applied, .. }) = &outcome {
            anything |= !applied.is_empty();
            check::print(told(folder, applied).as_bytes())?;
        }
        outcome?;
    }
    if !anything && !arguments.list {
        check::print(b"nothing to apply\n")?;
    }
    Ok(())
}

fn told(folder: &str, applied: &[String]) -> String {
    lines(applied.iter().map(|migration| format!("applied {folder}{migration}")))
}

fn listed(folder: &str, standing: &[Standing]) -> String {
    let line = |Standing { migration, state }: &Standing| format!("{folder}{migration}: {}", worded(state));
    lines(standing.iter().map(line))
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.chain([String::new()]).collect::<Vec<_>>().join("\n")
}

fn worded(state: &State) -> String {
    match state {
        State::Applied { at } => format!("applied {at}"),
        State::Pending => "to be applied".into(),
        State::Changed { at } => format!("applied {at}, and changed since"),
        State::Skipped => "not applied, but a later one is".into(),
        State::Unknown { at } => format!("applied {at}, by a program that has more of them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_a_line_for_each() {
        let at = || "2026-03-01 08:30:00+00".to_owned();
        let standing = [("0001_a", State::Applied { at: at() }), ("0002_b", State::Pending)]
            .map(|(migration, state)| Standing { migration: migration.into(), state });
        assert_eq!(listed("", &standing), "0001_a: applied 2026-03-01 08:30:00+00\n0002_b: to be applied\n");
    }
}
