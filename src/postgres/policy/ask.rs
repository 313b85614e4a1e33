use std::time::Duration;

use tokio_postgres::{Client, SimpleQueryMessage, Transaction};

use super::super::error::is_passing;
use super::super::{Error, Impersonation, Pool, quote_literal};

/// A statement of one row whose values are wanted, in PostgreSQL's text form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// Its columns, in SQL. None: nothing is asked.
    pub columns: Vec<String>,
}

/// What PostgreSQL answered when it was asked for what a policy depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// Asked as the identity.
    pub identity: (Question, Vec<Option<String>>),
    /// Asked as the server's own role.
    pub server: (Question, Vec<Option<String>>),
}

/// PostgreSQL refused to answer: the statement raised.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// PostgreSQL's own message. May hold a claim's value: for its owner's eyes only, not for logs.
    pub message: String,
    /// Whether the role lacks a privilege for it.
    pub forbidden: bool,
}

/// The type of a column of a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Types {
    /// `pg_type.typname` of a type of `pg_catalog`, of an array its element's with `[]` behind it; `None` for any other
    /// type.
    pub builtin: Option<String>,
    /// `pg_type.oid`; of a domain the base type's.
    pub oid: u32,
}

/// What a policy is made of is computed in less, or not at all.
const TIMEOUT: Duration = Duration::from_secs(10);
const OPERATION: &str = "ask what a policy depends on";

impl Question {
    fn sql(&self) -> String {
        format!("select {}", self.columns.join(", "))
    }
}

/// A read-only transaction, bounded in time.
pub(super) async fn begin(client: &mut Client) -> Result<Transaction<'_>, tokio_postgres::Error> {
    let transaction = client.build_transaction().read_only(true).start().await?;
    transaction.batch_execute(&format!("set local statement_timeout = {}", TIMEOUT.as_millis())).await?;
    Ok(transaction)
}

/// Asks as an identity.
///
/// # Errors
/// Those of the conversation with PostgreSQL; within, that the statement raised.
pub async fn ask(
    pool: &Pool,
    impersonation: &Impersonation,
    search_path: &str,
    question: &Question,
) -> Result<Result<Vec<Option<String>>, Refused>, Error> {
    if question.columns.is_empty() {
        return Ok(Ok(Vec::new()));
    }
    let failed = Error::query(OPERATION);
    let mut session = pool.get().await?;
    let transaction = begin(session.client_mut()).await.map_err(&failed)?;
    let asked = async {
        transaction.batch_execute(&impersonation.sql(search_path)).await?;
        answer(&transaction, question).await
    };
    sort(asked.await)
}

/// Asks as the server's own role, whom no policy binds: an error if one would.
///
/// # Errors
/// Those of the conversation with PostgreSQL.
pub async fn ask_server(pool: &Pool, question: &Question) -> Result<Vec<Option<String>>, Error> {
    if question.columns.is_empty() {
        return Ok(Vec::new());
    }
    let failed = Error::query(OPERATION);
    let mut session = pool.get().await?;
    let transaction = begin(session.client_mut()).await.map_err(&failed)?;
    let asked = async {
        transaction.batch_execute("set local row_security = off").await?;
        answer(&transaction, question).await
    };
    asked.await.map_err(failed)
}

/// The types of a question's columns, as a role sees them.
///
/// # Errors
/// As [`ask`].
pub async fn types(
    pool: &Pool,
    role: &str,
    search_path: &str,
    question: &Question,
) -> Result<Result<Vec<Types>, Refused>, Error> {
    if question.columns.is_empty() {
        return Ok(Ok(Vec::new()));
    }
    let failed = Error::query(OPERATION);
    let mut session = pool.get().await?;
    let transaction = begin(session.client_mut()).await.map_err(&failed)?;
    let prepared = async {
        let (role, path) = (quote_literal(role), quote_literal(search_path));
        let on = format!("select set_config('role', {role}, true), set_config('search_path', {path}, true)");
        transaction.batch_execute(&on).await?;
        transaction.prepare(&question.sql()).await
    };
    let prepared = match sort(prepared.await)? {
        Ok(prepared) => prepared,
        Err(refused) => return Ok(Err(refused)),
    };
    let builtin = |column: &tokio_postgres::Column| {
        let kind = column.type_();
        let builtin = (kind.schema() == "pg_catalog").then(|| match kind.kind() {
            tokio_postgres::types::Kind::Array(element) => format!("{}[]", element.name()),
            _ => kind.name().to_owned(),
        });
        Types { builtin, oid: kind.oid() }
    };
    Ok(Ok(prepared.columns().iter().map(builtin).collect()))
}

/// Asks as whoever the session is now.
pub(in crate::postgres) async fn answer(
    client: &impl Asks,
    question: &Question,
) -> Result<Vec<Option<String>>, tokio_postgres::Error> {
    if question.columns.is_empty() {
        return Ok(Vec::new());
    }
    let messages = client.run(&question.sql()).await?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let value = |index| row.and_then(|row| row.get(index)).map(str::to_owned);
    Ok((0..question.columns.len()).map(value).collect())
}

/// What was refused is the asker's; everything else the server's.
fn sort<T>(answer: Result<T, tokio_postgres::Error>) -> Result<Result<T, Refused>, Error> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(error) => match error.as_db_error() {
            Some(refusal) if !is_passing(refusal.code()) => Ok(Err(Refused {
                message: refusal.message().to_owned(),
                forbidden: *refusal.code() == tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE,
            })),
            _ => Err(Error::query(OPERATION)(error)),
        },
    }
}

/// A session, in a transaction of its own or not.
pub(in crate::postgres) trait Asks: Sync {
    /// Runs statements whose values come as text.
    fn run(
        &self,
        sql: &str,
    ) -> impl Future<Output = Result<Vec<SimpleQueryMessage>, tokio_postgres::Error>> + Send;
}

impl Asks for Client {
    async fn run(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, tokio_postgres::Error> {
        self.simple_query(sql).await
    }
}

impl Asks for Transaction<'_> {
    async fn run(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, tokio_postgres::Error> {
        self.simple_query(sql).await
    }
}
