use std::sync::Arc;

use tokio_postgres::types::Type;

use super::super::{Error, Pool};

/// A type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeName {
    /// `pg_type.oid`
    pub oid: u32,
    /// As `format_type` writes it of any length: `bpchar`, where `character` would be one of one character.
    pub name: Arc<str>,
}

/// A function, as a policy may call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// `pg_proc.oid`
    pub oid: u32,
    /// Its schema.
    pub schema: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// What its result depends on.
    pub volatility: Volatility,
    /// What it is written in.
    pub language: Language,
    /// Whether it gives a set of rows.
    pub returns_set: bool,
    /// `security definer`: the owner as whom it runs, `pg_roles.oid`.
    pub definer: Option<u32>,
    /// The names of its input parameters, in their order; empty for those without.
    pub parameters: Vec<Arc<str>>,
    /// How many of them, from the last one on, a call may leave out.
    pub defaults: usize,
    /// Their types.
    pub parameter_types: Vec<TypeName>,
    /// The type of what it gives, or of each that it gives.
    pub result: TypeName,
    /// Whether its parameters are plain input, no type is a pseudo-type, and it sets no parameter but its `search_path`.
    pub plain: bool,
    /// Its own `search_path`, if it sets one.
    pub search_path: Option<Arc<str>>,
    /// Whether it is `strict`: NULL for a NULL argument, without being called.
    pub strict: bool,
}

impl Function {
    /// Whether it may be called with so many arguments.
    pub fn takes(&self, arguments: usize) -> bool {
        let most = self.parameters.len();
        (most.saturating_sub(self.defaults)..=most).contains(&arguments)
    }

    /// Whether it depends on its arguments alone.
    pub fn is_immutable(&self) -> bool {
        self.volatility == Volatility::Immutable
    }
}

/// `pg_proc.provolatile`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volatility {
    /// On its arguments alone.
    Immutable,
    /// On settings and tables, the same throughout a statement.
    Stable,
    /// On anything.
    Volatile,
}

/// What a function is written in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Language {
    /// SQL: its body, as it was written.
    Sql(Arc<str>),
    /// Anything else.
    Other(Arc<str>),
}

const FUNCTIONS: &str = "
select n.nspname::text,
       p.proname::text,
       p.provolatile::text,
       l.lanname::text,
       case when l.lanname = 'sql' then coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) end,
       p.proretset,
       case when p.prosecdef then p.proowner end,
       array(select coalesce(p.proargnames[k], '') from generate_series(1, p.pronargs) k),
       (select substr(s, length('search_path=') + 1)
          from unnest(p.proconfig) s
         where s like 'search\\_path=%'),
       p.proisstrict,
       p.oid,
       p.prorettype,
       format_type(p.prorettype, -1),
       p.proargtypes::oid[],
       array(select format_type(t.oid, -1)
               from unnest(p.proargtypes::oid[]) with ordinality t (oid, number)
              order by t.number),
       coalesce(p.proargmodes <@ '{i,t}', true)
         and not exists (select from unnest(p.proconfig) s where s not like 'search\\_path=%')
         and not exists (select
                           from pg_type t
                          where t.oid = any(p.proargtypes::oid[] || p.prorettype)
                            and t.typtype = 'p'),
       p.pronargdefaults::int4
  from unnest($1::text[], $2::text[]) w (schema, name)
  join pg_proc p on p.proname = w.name
  join pg_namespace n on n.oid = p.pronamespace and n.nspname = w.schema
  join pg_language l on l.oid = p.prolang";

const OPERATION: &str = "read the functions of a policy";

/// All functions of these schemas and names; overloaded ones are several.
///
/// # Errors
/// Those of the conversation with PostgreSQL.
pub async fn functions(pool: &Pool, names: &[(String, String)]) -> Result<Vec<Function>, Error> {
    let failed = Error::query(OPERATION);
    let session = pool.get().await?;
    let (schemas, names): (Vec<&str>, Vec<&str>) =
        names.iter().map(|(schema, name)| (schema.as_str(), name.as_str())).unzip();
    let rows = session
        .query_typed(FUNCTIONS, &[(&schemas, Type::TEXT_ARRAY), (&names, Type::TEXT_ARRAY)])
        .await
        .map_err(&failed)?;
    let function = |row: &tokio_postgres::Row| {
        let text = |index| row.try_get::<_, &str>(index).map(Arc::from);
        let body: Option<&str> = row.try_get(4)?;
        let parameters: Vec<&str> = row.try_get(7)?;
        let search_path: Option<&str> = row.try_get(8)?;
        let oids: Vec<u32> = row.try_get(13)?;
        let names: Vec<&str> = row.try_get(14)?;
        let types = oids.into_iter().zip(names).map(|(oid, name)| TypeName { oid, name: name.into() });
        Ok(Function {
            oid: row.try_get(10)?,
            schema: text(0)?,
            name: text(1)?,
            volatility: match row.try_get(2)? {
                "i" => Volatility::Immutable,
                "s" => Volatility::Stable,
                _ => Volatility::Volatile,
            },
            language: match body {
                Some(body) => Language::Sql(body.into()),
                None => Language::Other(text(3)?),
            },
            returns_set: row.try_get(5)?,
            definer: row.try_get(6)?,
            parameters: parameters.into_iter().map(Arc::from).collect(),
            defaults: usize::try_from(row.try_get::<_, i32>(16)?).unwrap_or(0),
            parameter_types: types.collect(),
            result: TypeName { oid: row.try_get(11)?, name: text(12)? },
            plain: row.try_get(15)?,
            search_path: search_path.map(Arc::from),
            strict: row.try_get(9)?,
        })
    };
    rows.iter().map(function).collect::<Result<_, _>>().map_err(&failed)
}

/// The schemas of operators that are not PostgreSQL's own.
///
/// # Errors
/// Those of the conversation with PostgreSQL.
pub async fn operator_schemas(pool: &Pool) -> Result<Vec<String>, Error> {
    const SCHEMAS: &str = "
        select distinct n.nspname::text
          from pg_operator o
          join pg_namespace n on n.oid = o.oprnamespace
         where n.nspname <> 'pg_catalog'";
    let failed = Error::query("read the schemas of operators");
    let rows = pool.get().await?.query_typed(SCHEMAS, &[]).await.map_err(&failed)?;
    rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(&failed)
}
