//! What a role may read of a table.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::Error;

/// Asked by name and not as the role: `row_security_active` would tell of the current one. A superuser, whoever may bypass
/// policies, and the owner of a table that does not force them are bound by none.
const READ: &str = "
select coalesce(bool_and(has_column_privilege(r.oid, c.oid, a.attnum, 'select')), false)
         and count(*) = cardinality($3::text[])
         and has_schema_privilege(r.oid, c.relnamespace, 'usage'),
       c.relrowsecurity
         and not r.rolsuper
         and not r.rolbypassrls
         and (c.relforcerowsecurity or not pg_has_role(r.oid, c.relowner, 'usage'))
  from pg_roles r
 cross join pg_class c
  left join pg_attribute a
    on a.attrelid = c.oid
   and a.attname = any ($3)
   and a.attnum > 0
   and not a.attisdropped
 where r.rolname = $1
   and c.oid = $2
 group by r.oid, r.rolsuper, r.rolbypassrls, c.oid, c.relnamespace, c.relrowsecurity, c.relforcerowsecurity, c.relowner";

/// What a role may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Privileges {
    /// Every row.
    Whole,
    /// The rows that policies show it.
    Secured,
    /// Not all of the columns, or nothing; there is no such role, or no such table.
    Missing,
}

/// Whether `role` may read the columns called `columns`, which are different ones or repeat, of the table with this OID.
///
/// # Errors
/// Those of the conversation.
pub async fn read(client: &Client, role: &str, table: u32, columns: &[&str]) -> Result<Privileges, Error> {
    let mut columns = columns.to_vec();
    columns.sort_unstable();
    columns.dedup();
    let rows = client
        .query_typed(READ, &[(&role, Type::NAME), (&table, Type::OID), (&columns, Type::TEXT_ARRAY)])
        .await
        .map_err(Error::query("read the privileges of a role"))?;
    let Some(row) = rows.first() else { return Ok(Privileges::Missing) };
    let failed = Error::query("read the privileges of a role");
    Ok(match (row.try_get(0), row.try_get(1)) {
        (Ok(true), Ok(true)) => Privileges::Secured,
        (Ok(true), Ok(false)) => Privileges::Whole,
        (Ok(false), _) => Privileges::Missing,
        (Err(error), _) | (_, Err(error)) => return Err(failed(error)),
    })
}
