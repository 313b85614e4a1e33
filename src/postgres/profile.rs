//! The user's own function that is told who comes.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::error::is_passing;
use super::{Error, Impersonation, Pool, quote};

/// Schema and name of a function, as stored: unquoted.
///
/// Text form: `schema.name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionName {
    /// The schema.
    pub schema: Box<str>,
    /// The function within it.
    pub name: Box<str>,
}

/// The function raised, or the role may not call it.
///
/// PostgreSQL's message is not kept: it may hold a claim's value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the profile function raised {sql_state}")]
pub struct Raised {
    /// PostgreSQL's code.
    pub sql_state: String,
}

/// What there is of a function's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Whether one can be called without arguments.
    pub plain: bool,
    /// How many take some.
    pub others: usize,
    /// Of each role that was asked for: whether it may use the schema and execute the plain one.
    pub allowed: Vec<(String, bool)>,
}

/// One row is written in less; who waits for a lock for longer comes again.
const TIMEOUT: Duration = Duration::from_secs(5);
const OPERATION: &str = "call the profile function";

/// What outlives a transaction, but for prepared statements, which are the driver's.
const FORGET: &str = "reset all; close all; unlisten *; discard temp; select pg_advisory_unlock_all()";

const FOUND: &str = "
select p.pronargs = p.pronargdefaults,
       array(select r.rolname::text
               from pg_roles r
              where r.rolname = any ($3::text[])
                and has_schema_privilege(r.oid, n.oid, 'usage')
                and has_function_privilege(r.oid, p.oid, 'execute'))
  from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
 where n.nspname = $1
   and p.proname = $2
   and p.prokind = 'f'";

impl FromStr for FunctionName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('.') {
            Some((schema, name)) if !schema.is_empty() && !name.is_empty() => {
                Ok(Self { schema: schema.into(), name: name.into() })
            }
            _ => Err("must be a function with its schema, as in app.sync_profile"),
        }
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

impl FunctionName {
    /// As SQL names it.
    pub fn quoted(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.name))
    }
}

/// Calls the function as an identity, in a transaction of its own.
///
/// # Errors
/// Those of the conversation with PostgreSQL; within, that the function raised.
pub async fn call(
    pool: &Pool,
    impersonation: &Impersonation,
    search_path: &str,
    function: &FunctionName,
) -> Result<Result<(), Raised>, Error> {
    let mut session = pool.get().await?;
    let called = async {
        let transaction = session.client_mut().transaction().await?;
        // A notice may hold a claim's value, and notices are logged.
        let bounds = format!(
            "set local statement_timeout = {}; set local client_min_messages = error",
            TIMEOUT.as_millis()
        );
        transaction.batch_execute(&bounds).await?;
        transaction.batch_execute(&impersonation.sql(search_path)).await?;
        transaction.batch_execute(&format!("select {}()", function.quoted())).await?;
        transaction.commit().await
    };
    match called.await {
        Ok(()) => {
            // What it has set for its session is not to be there when somebody else is asked for in it.
            if session.batch_execute(FORGET).await.is_err() {
                drop(session.take());
            }
            Ok(Ok(()))
        }
        Err(error) => match error.code() {
            Some(state) if !is_of_the_moment(state) => Ok(Err(Raised { sql_state: state.code().to_owned() })),
            _ => Err(Error::query(OPERATION)(error)),
        },
    }
}

/// What there is of a function's name, for each of `roles` that the server has.
///
/// # Errors
/// Those of the conversation with PostgreSQL.
pub async fn find(pool: &Pool, function: &FunctionName, roles: &[String]) -> Result<Found, Error> {
    let failed = Error::query("look for the profile function");
    let session = pool.get().await?;
    let (schema, name) = (&*function.schema, &*function.name);
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
        [(&schema, Type::TEXT), (&name, Type::TEXT), (&roles, Type::TEXT_ARRAY)];
    let rows = session.query_typed(FOUND, &parameters).await.map_err(&failed)?;
    let mut found = Found::default();
    for row in rows {
        if !row.try_get::<_, bool>(0).map_err(&failed)? {
            found.others += 1;
            continue;
        }
        let able: Vec<String> = row.try_get(1).map_err(&failed)?;
        found.plain = true;
        found.allowed = roles.iter().map(|role| (role.clone(), able.contains(role))).collect();
    }
    Ok(found)
}

/// The SQL that lets a role call a function.
pub fn grant(function: &FunctionName, role: &str) -> String {
    let (schema, role) = (quote(&function.schema), quote(role));
    format!(
        "grant usage on schema {schema} to {role}; grant execute on function {}() to {role};",
        function.quoted()
    )
}

/// Whether it is no fault of the function: a standby takes no writes until it is promoted, or the server is another.
fn is_of_the_moment(state: &SqlState) -> bool {
    is_passing(state) || *state == SqlState::READ_ONLY_SQL_TRANSACTION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_has_a_schema_and_a_name() {
        let name: FunctionName = "app.sync profile".parse().expect("a name");
        assert_eq!(
            (name.to_string(), name.quoted()),
            ("app.sync profile".into(), "\"app\".\"sync profile\"".into())
        );
        for text in ["sync_profile", ".sync_profile", "app."] {
            assert!(text.parse::<FunctionName>().is_err(), "{text}");
        }
    }
}
