//! An event trigger that tells of changed definitions in the stream itself, where it may be created.
//!
//! It writes one short message into the log for each statement that concerns a table of more than one session. It
//! never breaks the user's DDL: whatever goes wrong in it is swallowed. Where it may not be created (it takes a
//! superuser, or what a hosting service grants in its place), the poll of the catalog notices a little later.
//!
//! There is one a database, shared by all who follow it.

use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Transaction};

use super::Error;
use super::publication::{MARK, take_turns};

/// The prefix of its messages.
pub const PREFIX: &str = "tidegate.schema";

const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// `search_path` is fixed, since it runs in the session of whoever changes a table; as its owner, since those may have no right
/// to write messages into the log.
const CREATE: &str = "
create schema if not exists tidegate;
create or replace function tidegate.tell_schema_change()
returns event_trigger
language plpgsql
security definer
set search_path = pg_catalog
as $body$
declare
  concerns boolean;
begin
  if tg_event = 'sql_drop' then
    select coalesce(bool_or(not is_temporary), false)
      into concerns
      from pg_event_trigger_dropped_objects()
     where object_type in ('table', 'table column', 'table constraint', 'index', 'type', 'schema', 'publication',
                           'publication relation', 'publication namespace');
  else
    select coalesce(bool_or(schema_name is distinct from 'pg_temp'), false)
      into concerns
      from pg_event_trigger_ddl_commands();
  end if;
  if concerns then
    perform pg_logical_emit_message(true, 'tidegate.schema', tg_tag);
  end if;
exception when others then
  null;
end
$body$;
drop event trigger if exists tidegate_schema;
drop event trigger if exists tidegate_schema_drop;
create event trigger tidegate_schema
    on ddl_command_end
  when tag in ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE', 'CREATE INDEX', 'ALTER TYPE',
               'ALTER DOMAIN', 'ALTER SCHEMA', 'CREATE PUBLICATION', 'ALTER PUBLICATION')
execute function tidegate.tell_schema_change();
create event trigger tidegate_schema_drop
    on sql_drop
execute function tidegate.tell_schema_change();
alter event trigger tidegate_schema enable always;
alter event trigger tidegate_schema_drop enable always;";

const STATE: &str = "
select (select count(*) from pg_event_trigger t
          join pg_proc p on p.oid = t.evtfoid
          join pg_namespace n on n.oid = p.pronamespace
         where t.evtname in ('tidegate_schema', 'tidegate_schema_drop')
           and t.evtenabled = 'A'
           and n.nspname = 'tidegate'
           and p.prosecdef
           and md5(p.prosrc) = md5($1)) = 2 as present,
       exists (select from pg_event_trigger
                where evtname in ('tidegate_schema', 'tidegate_schema_drop')) as traces,
       exists (select from pg_publication p
                where p.pubname <> $2
                  and starts_with(obj_description(p.oid, 'pg_publication'), $3)) as shared";

const DROP: &str = "
drop event trigger if exists tidegate_schema;
drop event trigger if exists tidegate_schema_drop;
drop function if exists tidegate.tell_schema_change();";

/// Whether this role could make one: a superuser, or a member of what hosting services put in its place.
const MAY: &str = "
select exists (select from pg_roles r
                where r.rolname = current_user
                  and (r.rolsuper
                       or exists (select from pg_roles h
                                   where h.rolname in ('rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin')
                                     and pg_has_role(r.oid, h.oid, 'member'))))";

/// How it stands with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Present,
    Possible,
    NotAllowed,
}

/// Whether it is there, and if not, whether this role could make it.
pub(super) async fn standing(client: &Client) -> Result<Standing, tokio_postgres::Error> {
    let present = client
        .query_typed_one(STATE, &[(&body(), Type::TEXT), (&"", Type::TEXT), (&MARK, Type::TEXT)])
        .await?;
    if present.try_get("present")? {
        return Ok(Standing::Present);
    }
    let may: bool = client.query_typed_one(MAY, &[]).await?.try_get(0)?;
    Ok(if may { Standing::Possible } else { Standing::NotAllowed })
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// It is there and tells.
    Present,
    /// It was made now.
    Created,
    /// This role may not make one: PostgreSQL's message.
    Refused(String),
}

/// What [`remove`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Removed {
    /// It is gone.
    Removed,
    /// There was none.
    Absent,
    /// Another publication of ours in this database uses it: it was left.
    Shared,
    /// It belongs to another role: it was left.
    NotAllowed,
}

/// Whether it is there, as this version makes it.
///
/// # Errors
/// Those of the conversation with PostgreSQL.
pub async fn is_present(client: &Client) -> Result<bool, Error> {
    let standing = standing(client).await.map_err(Error::query("look for the event trigger"))?;
    Ok(standing == Standing::Present)
}

/// Sees that it is there, if this role may make one.
///
/// # Errors
/// Those of the conversation with PostgreSQL; that the role may not is none.
pub async fn ensure(client: &mut Client) -> Result<Outcome, Error> {
    if is_present(client).await? {
        return Ok(Outcome::Present);
    }
    let failed = Error::query("create the event trigger");
    let transaction = client.transaction().await.map_err(failed)?;
    take_turns(&transaction, LOCK_TIMEOUT).await.map_err(failed)?;
    match transaction.batch_execute(CREATE).await {
        Ok(()) => {
            transaction.commit().await.map_err(failed)?;
            Ok(Outcome::Created)
        }
        Err(error) => match error.as_db_error() {
            Some(refusal) if *refusal.code() == SqlState::INSUFFICIENT_PRIVILEGE => {
                Ok(Outcome::Refused(refusal.message().to_owned()))
            }
            _ => Err(failed(error)),
        },
    }
}

/// Drops it, unless a publication of ours other than `publication` still uses it.
///
/// # Errors
/// Those of the conversation with PostgreSQL.
pub async fn remove(client: &mut Client, publication: &str) -> Result<Removed, Error> {
    let failed = Error::query("drop the event trigger");
    let transaction = client.transaction().await.map_err(failed)?;
    take_turns(&transaction, LOCK_TIMEOUT).await.map_err(failed)?;
    let row = transaction
        .query_typed_one(STATE, &[(&body(), Type::TEXT), (&publication, Type::TEXT), (&MARK, Type::TEXT)])
        .await
        .map_err(failed)?;
    let (traces, shared): (bool, bool) =
        (row.try_get("traces").map_err(failed)?, row.try_get("shared").map_err(failed)?);
    let removed = match (traces, shared) {
        (false, _) => Removed::Absent,
        (true, true) => Removed::Shared,
        (true, false) => {
            return match transaction.batch_execute(DROP).await {
                Ok(()) => drop_schema(transaction).await.map_err(failed).map(|()| Removed::Removed),
                Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                    Ok(Removed::NotAllowed)
                }
                Err(error) => Err(failed(error)),
            };
        }
    };
    transaction.commit().await.map_err(failed)?;
    Ok(removed)
}

/// Drops the schema too, if nothing else is in it.
async fn drop_schema(mut transaction: Transaction<'_>) -> Result<(), tokio_postgres::Error> {
    let savepoint = transaction.transaction().await?;
    match savepoint.batch_execute("drop schema if exists tidegate restrict").await {
        Ok(()) => savepoint.commit().await?,
        Err(error) if error.as_db_error().is_some() => savepoint.rollback().await?,
        Err(error) => return Err(error),
    }
    transaction.commit().await
}

/// The function's text as `pg_proc` keeps it.
fn body() -> &'static str {
    CREATE.split("$body$").nth(1).expect("the statement quotes its body so")
}
