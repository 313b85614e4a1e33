//! Literals as PostgreSQL itself would write them: `'now'`, `' 1e3 '`, a date in words.

use std::collections::HashMap;

use futures_util::future::try_join_all;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::Error;
use super::error::is_passing;
use super::text::Text;

/// A type's full name, quoted; `-1` rather than null keeps `bpchar` from being `character`, which is one letter.
const NAMES: &str = "select t.oid, format_type(t.oid, -1) from pg_type t where t.oid = any($1)";
const OPERATION: &str = "read a literal";

/// The canonical text of each literal, which comes with the `pg_type.oid` of its type: read by the type's input
/// function, written by its output function, as a value of a row is.
///
/// A literal that the type refuses gives PostgreSQL's message; the others are answered all the same. Moving ones
/// (`now`) become what they are at this moment.
///
/// # Errors
/// Those of the conversation with PostgreSQL.
pub async fn canonical(
    client: &Client,
    literals: &[(&str, u32)],
) -> Result<Vec<Result<String, String>>, Error> {
    let oids: Vec<u32> = literals.iter().map(|(_, oid)| *oid).collect();
    let rows =
        client.query_typed(NAMES, &[(&oids, Type::OID_ARRAY)]).await.map_err(Error::query(OPERATION))?;
    let names: HashMap<u32, String> = rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect::<Result<_, _>>()
        .map_err(Error::query(OPERATION))?;
    // Each its own statement: one that is refused spoils no other. Polled together they travel together.
    let asked = literals.iter().map(async |(text, oid)| match names.get(oid) {
        Some(name) => one(client, text, name).await,
        None => Ok(Err(format!("there is no type with oid {oid}"))),
    });
    try_join_all(asked).await
}

async fn one(client: &Client, text: &str, type_name: &str) -> Result<Result<String, String>, Error> {
    // `concat` writes its argument by the output function, where a cast to text has forms of its own (`true` for `t`).
    let statement = format!("select concat($1::{type_name})");
    match client.query_typed_one(&statement, &[(&Text(text), Text::INFERRED)]).await {
        Ok(row) => row.try_get(0).map(Ok).map_err(Error::query(OPERATION)),
        Err(error) => match error.as_db_error() {
            Some(refusal) if !is_passing(refusal.code()) => Ok(Err(refusal.message().to_owned())),
            _ => Err(Error::query(OPERATION)(error)),
        },
    }
}
