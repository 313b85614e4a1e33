use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde::Deserialize;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::super::Error;
use super::ask::begin;

/// What a role may see of a table, by PostgreSQL's own word.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    /// `pg_class.oid`; of a partitioned table the root's, whose policies alone count.
    pub oid: u32,
    /// Whether the role may use the table's schema.
    pub usage: bool,
    /// The columns that it may read.
    pub columns: Vec<Arc<str>>,
    /// The columns that it may not read.
    pub unreadable: Vec<Arc<str>>,
    /// Whether policies apply to it.
    pub row_security: bool,
    /// Those that do, for SELECT.
    pub policies: Vec<PolicyText>,
    /// `pg_class.relowner`
    pub owner: u32,
    /// Whether the table has policies in force for anyone, and whether for its owner too.
    pub protected: Protected,
    /// Changes whenever something did that the policies may depend on besides: functions, owners, who bypasses policies.
    pub revision: u64,
}

/// Whom a table's policies bind at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protected {
    /// Nobody: row-level security is not enabled.
    No,
    /// All but its owner and those who bypass policies.
    FromOthers,
    /// All but those who bypass policies: `force row level security`.
    FromAll,
}

/// What a role may see of tables, and who is bound by no policy whatever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accesses {
    /// One a table.
    pub tables: Vec<Access>,
    /// Roles with SUPERUSER or BYPASSRLS, by oid.
    pub unbound: Vec<u32>,
}

/// A policy as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyText {
    /// `pg_policy.polname`
    pub name: String,
    /// Permissive ones are joined by `or`, restrictive ones by `and`.
    pub permissive: bool,
    /// As `pg_get_expr` gives it, every name outside of `pg_catalog` with its schema.
    pub expression: Option<String>,
}

impl Access {
    /// A number that changes whenever any of it does, within one process.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

/// `pg_has_role(…, 'usage')` is what PostgreSQL itself asks: a member that does not inherit has none of its group's.
const ACCESSES: &str = "
select c.oid,
       has_schema_privilege(c.relnamespace, 'usage'),
       array(select a.attname::text
               from pg_attribute a
              where a.attrelid = c.oid
                and a.attnum > 0
                and not a.attisdropped
                and has_column_privilege(c.oid, a.attnum, 'select')
              order by a.attnum),
       row_security_active(c.oid),
       (select coalesce(json_agg(json_build_object('name', p.polname,
                                                   'permissive', p.polpermissive,
                                                   'expression', pg_get_expr(p.polqual, p.polrelid))
                                 order by p.polname), '[]')::text
          from pg_policy p
         where p.polrelid = c.oid
           and p.polcmd in ('r', '*')
           and (p.polroles = '{0}'
                or exists (select from unnest(p.polroles) r where pg_has_role(r, 'usage')))),
       c.relowner,
       c.relrowsecurity,
       c.relforcerowsecurity,
       array(select a.attname::text
               from pg_attribute a
              where a.attrelid = c.oid
                and a.attnum > 0
                and not a.attisdropped
                and not has_column_privilege(c.oid, a.attnum, 'select')
              order by a.attnum)
  from pg_class c
 where c.oid = any($1)";

/// What policies may depend on besides: functions, and who is bound by no policy.
const REVISION: &str = "
select concat_ws(' ',
         (select count(*) || ':' || coalesce(bit_xor(hashtidextended(ctid, xmin::text::int8)), 0)
            from pg_proc where oid >= 16384),
         (select count(*) || ':' || coalesce(bit_xor(hashtidextended(ctid, xmin::text::int8)), 0)
            from pg_auth_members)),
       array(select oid from pg_roles where rolsuper or rolbypassrls order by oid)";

const OPERATION: &str = "read grants and policies";

/// What `role` may see of the tables with these oids; those that are gone are left out.
///
/// # Errors
/// Those of the conversation with PostgreSQL; a role that does not exist, or that the server's own is no member of, is
/// one.
pub async fn accesses(client: &mut Client, role: &str, tables: &[u32]) -> Result<Accesses, Error> {
    let failed = Error::query(OPERATION);
    let transaction = begin(client).await.map_err(&failed)?;
    let role_on = "select set_config('role', $1, true)";
    transaction.query_typed(role_on, &[(&role, Type::TEXT)]).await.map_err(&failed)?;
    let (rows, revision) = futures_util::future::try_join(
        transaction.query_typed(ACCESSES, &[(&tables, Type::OID_ARRAY)]),
        transaction.query_typed_one(REVISION, &[]),
    )
    .await
    .map_err(&failed)?;
    transaction.commit().await.map_err(&failed)?;
    let unbound: Vec<u32> = revision.try_get(1).map_err(&failed)?;
    let mut hasher = DefaultHasher::new();
    (revision.try_get::<_, &str>(0).map_err(&failed)?, &unbound).hash(&mut hasher);
    let revision = hasher.finish();
    let access = |row: &tokio_postgres::Row| {
        let policies: &str = row.try_get(4)?;
        let columns: Vec<&str> = row.try_get(2)?;
        let unreadable: Vec<&str> = row.try_get(8)?;
        Ok(Access {
            oid: row.try_get(0)?,
            usage: row.try_get(1)?,
            columns: columns.into_iter().map(Arc::from).collect(),
            unreadable: unreadable.into_iter().map(Arc::from).collect(),
            row_security: row.try_get(3)?,
            policies: serde_json::from_str(policies).expect("json_agg writes JSON of these fields"),
            owner: row.try_get(5)?,
            protected: match (row.try_get(6)?, row.try_get(7)?) {
                (false, _) => Protected::No,
                (true, false) => Protected::FromOthers,
                (true, true) => Protected::FromAll,
            },
            revision,
        })
    };
    let tables = rows.iter().map(access).collect::<Result<_, _>>().map_err(&failed)?;
    Ok(Accesses { tables, unbound })
}
