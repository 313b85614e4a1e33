//! The reference application's schema and that of its history: the numbered files of `sql/` and `sql/analytics/`, each
//! applied once, in order.
//!
//! ```text
//!  FILES ──▶ standing ──▶ pending ones ──▶ a transaction each: the file's statements and its line in the history
//!               ▲
//!      schema_history: version, name, when, checksum (refinery's)
//! ```
//!
//! Whoever applies holds a lock of the session, so that others who do so at the same time wait, and then find nothing
//! left to do. The session must be PostgreSQL's own: a pooler that hands it round between transactions has no such lock.

mod files;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use refinery::{Migration, Runner};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::{Connection, Error as PostgresError, Settings};
use files::{ANALYTICS, APPLICATION, File, name_of};

/// What is migrated, each with a history of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// The application: `public`, and `app` for what is nobody's to follow.
    Application,
    /// Its history: `analytics`.
    Analytics,
}

impl Schema {
    const fn name(self) -> &'static str {
        match self {
            Self::Application => "app",
            Self::Analytics => "analytics",
        }
    }

    const fn files(self) -> &'static [File] {
        match self {
            Self::Application => APPLICATION,
            Self::Analytics => ANALYTICS,
        }
    }

    /// Where refinery keeps what was applied.
    fn history_table(self) -> String {
        format!("{}.schema_history", self.name())
    }

    fn migrations(self) -> Vec<Migration> {
        self.files().iter().map(File::migration).collect()
    }
}

const HAS_HISTORY: &str = "select to_regclass($1) is not null";

/// Refinery takes the texts of its table for granted, so they are looked at here first. The table's name follows.
const HISTORY: &str = r"
select version,
       name,
       checksum,
       date_trunc('second', applied_on::timestamptz)::text as at,
       applied_on ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$' as dated
  from ";

/// «tidegate» in ASCII, as one number. Such locks are a database's own.
const LOCK: i64 = 0x7469_6465_6761_7465;
/// Who rewrites a large table is at it for minutes; what takes longer is for somebody to look at.
const PATIENCE: Duration = Duration::from_mins(10);
/// Reads and writes of a table queue behind a statement that waits to lock it against them: for no longer than this. What
/// was not applied then is applied when it is run again.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Why not all is applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The conversation did not come about, or broke off.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// Others were at it for too long.
    #[error("another process has been applying migrations for {waited:?}")]
    Busy {
        /// How long was waited for it.
        waited: Duration,
    },
    /// The file is not what was applied.
    #[error("migration `{migration}` was changed after it was applied")]
    Changed {
        /// Its file.
        migration: String,
    },
    /// A later program than this one was here, or a file is gone.
    #[error("migration `{migration}` is applied, and this program does not have it")]
    Unknown {
        /// Its file.
        migration: String,
    },
    /// A file came in between others that are applied.
    #[error("migration `{migration}` is not applied, but a later one is")]
    Skipped {
        /// Its file.
        migration: String,
    },
    /// Somebody wrote to the history by hand.
    #[error("the history of migrations is illegible at version {version}")]
    Illegible {
        /// Which of its lines.
        version: i32,
    },
    /// PostgreSQL refused a statement: nothing of this migration is left, and those before it stay.
    #[error("could not apply migration `{migration}`")]
    Refused {
        /// Its file.
        migration: String,
        /// What was applied before it just now.
        applied: Vec<String>,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The history could not be begun or read.
    #[error("could not use the history of migrations")]
    History(#[source] Cause),
}

/// What PostgreSQL said to refinery, which would repeat it.
#[derive(Debug)]
pub struct Cause(refinery::Error);

/// A migration, and whether it is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its file, as in `0001_people`.
    pub migration: String,
    /// How it stands.
    pub state: State,
}

/// How a migration stands. Moments are in UTC, as PostgreSQL writes them: `2026-03-01 08:30:00+00`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is applied, as it is here.
    Applied {
        /// Since when.
        at: String,
    },
    /// It is to be applied.
    Pending,
    /// Something else was applied under its name or number.
    Changed {
        /// Since when.
        at: String,
    },
    /// It is not applied, and will not be: a later one is.
    Skipped,
    /// It is applied, and not here.
    Unknown {
        /// Since when.
        at: String,
    },
}

/// A line of the history.
struct Line {
    name: String,
    checksum: u64,
    at: String,
}

/// Applies what is not applied yet, each migration in a transaction of its own, and says which.
///
/// # Errors
/// [`Error`]. What was applied by then stays.
pub async fn run(schema: Schema, settings: &Settings) -> Result<Vec<String>, Error> {
    let mut session = Connection::open(settings).await?;
    let client = session.client_mut();
    take_turn(client).await?;
    let applied = apply(schema, client).await;
    // With the session the lock is gone, too.
    let _ = client.query_typed("select pg_advisory_unlock($1)", &[(&LOCK, Type::INT8)]).await;
    applied
}

/// How every migration stands, by number. Changes nothing, and waits for nobody.
///
/// # Errors
/// Those of the conversation; [`Error::Illegible`].
pub async fn list(schema: Schema, settings: &Settings) -> Result<Vec<Standing>, Error> {
    standing(schema, &*Connection::open(settings).await?).await
}

/// Waits until nobody else migrates this database.
async fn take_turn(client: &mut Client) -> Result<(), Error> {
    let waiting = async {
        let transaction = client.transaction().await?;
        transaction.batch_execute(&format!("set local lock_timeout = {}", PATIENCE.as_millis())).await?;
        transaction.query_typed("select pg_advisory_lock($1)", &[(&LOCK, Type::INT8)]).await?;
        transaction.commit().await
    };
    waiting.await.map_err(|error: tokio_postgres::Error| match error.code() {
        Some(&SqlState::LOCK_NOT_AVAILABLE) => Error::Busy { waited: PATIENCE },
        _ => PostgresError::query("wait for others who apply migrations")(error).into(),
    })
}

async fn apply(schema: Schema, client: &mut Client) -> Result<Vec<String>, Error> {
    // Of the session, which is ours alone and ends here: the transactions are refinery's.
    let name = schema.name();
    let prepare =
        format!("set lock_timeout = {}; create schema if not exists {name};", LOCK_TIMEOUT.as_millis());
    client
        .batch_execute(&prepare)
        .await
        .map_err(PostgresError::query("make the schema of migrations"))
        .map_err(Error::from)?;
    let mut pending = Vec::new();
    for Standing { migration, state } in standing(schema, client).await? {
        match state {
            State::Applied { .. } => {}
            State::Pending => pending.push(migration),
            State::Changed { .. } => return Err(Error::Changed { migration }),
            State::Skipped => return Err(Error::Skipped { migration }),
            State::Unknown { .. } => return Err(Error::Unknown { migration }),
        }
    }
    match runner(schema).run_async(client).await {
        Ok(_) => Ok(pending),
        Err(error) => {
            let Some(count) = error.report().map(|report| report.applied_migrations().len()) else {
                return Err(Error::History(Cause(error)));
            };
            let migration = pending.swap_remove(count);
            pending.truncate(count);
            Err(Error::Refused { migration, applied: pending, source: Cause(error) })
        }
    }
}

fn runner(schema: Schema) -> Runner {
    let mut runner = Runner::new(&schema.migrations());
    runner.set_migration_table_name(schema.history_table());
    runner
}

async fn standing(schema: Schema, client: &Client) -> Result<Vec<Standing>, Error> {
    let history = history(schema, client).await?;
    Ok(judge(&schema.migrations(), history))
}

async fn history(schema: Schema, client: &Client) -> Result<BTreeMap<i32, Line>, Error> {
    let read = PostgresError::query("read the history of migrations");
    let table = schema.history_table();
    let row = client.query_typed_one(HAS_HISTORY, &[(&table, Type::TEXT)]).await.map_err(read)?;
    if !row.try_get(0).map_err(read)? {
        return Ok(BTreeMap::new());
    }
    let mut lines = BTreeMap::new();
    for row in client.query_typed(&format!("{HISTORY}{table} order by version"), &[]).await.map_err(read)? {
        let version = row.try_get("version").map_err(read)?;
        let text = |column: &str| row.try_get::<_, Option<String>>(column).map_err(read);
        let dated = row.try_get::<_, Option<bool>>("dated").map_err(read)? == Some(true);
        let checksum = text("checksum")?.and_then(|checksum| checksum.parse().ok());
        let (Some(name), Some(checksum), Some(at), true) = (text("name")?, checksum, text("at")?, dated)
        else {
            return Err(Error::Illegible { version });
        };
        lines.insert(version, Line { name, checksum, at });
    }
    Ok(lines)
}

/// As refinery judges, but all of it, where that stops at the first fault.
fn judge(migrations: &[Migration], mut history: BTreeMap<i32, Line>) -> Vec<Standing> {
    let newest = history.last_key_value().map(|(version, _)| *version);
    let mut standing = BTreeMap::new();
    for migration in migrations {
        let version = migration.version();
        let state = match history.remove(&version) {
            Some(line) if line.name == migration.name() && line.checksum == migration.checksum() => {
                State::Applied { at: line.at }
            }
            Some(line) => State::Changed { at: line.at },
            None if newest > Some(version) => State::Skipped,
            None => State::Pending,
        };
        standing.insert(version, Standing { migration: name_of(version, migration.name()), state });
    }
    for (version, Line { name, at, .. }) in history {
        standing
            .insert(version, Standing { migration: name_of(version, &name), state: State::Unknown { at } });
    }
    standing.into_values().collect()
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::error::Error::source(&self.0) {
            Some(source) => fmt::Display::fmt(source, f),
            None => fmt::Display::fmt(&self.0, f),
        }
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.0).and_then(std::error::Error::source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migrations(count: usize) -> Vec<Migration> {
        APPLICATION.iter().take(count).map(File::migration).collect()
    }

    fn line(migration: &Migration) -> (i32, Line) {
        let (name, checksum) = (migration.name().to_owned(), migration.checksum());
        (migration.version(), Line { name, checksum, at: "then".into() })
    }

    fn states(migrations: &[Migration], history: impl IntoIterator<Item = (i32, Line)>) -> Vec<State> {
        let standing = judge(migrations, history.into_iter().collect());
        standing.into_iter().map(|standing| standing.state).collect()
    }

    #[test]
    fn a_migration_stands_by_its_number_name_and_checksum() {
        let three = migrations(3);
        let at = || "then".to_owned();
        let applied = || State::Applied { at: at() };
        assert_eq!(states(&three, []), [State::Pending, State::Pending, State::Pending]);
        assert_eq!(states(&three, three[..2].iter().map(line)), [applied(), applied(), State::Pending]);
        assert_eq!(states(&three, three[1..2].iter().map(line)), [State::Skipped, applied(), State::Pending]);
        assert_eq!(
            states(&three[..2], three.iter().map(line)),
            [applied(), applied(), State::Unknown { at: at() }]
        );
        for change in [|line: &mut Line| line.checksum += 1, |line: &mut Line| line.name.push('s')] {
            let mut history: Vec<_> = three.iter().map(line).collect();
            change(&mut history[1].1);
            assert_eq!(states(&three, history), [applied(), State::Changed { at: at() }, applied()]);
        }
    }

    #[test]
    fn the_lock_is_the_programs_name() {
        assert_eq!(LOCK.to_be_bytes(), *b"tidegate");
    }
}
