//! The functions that policies call, with theirs, and what may be computed ahead of any row.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Function as Call, ObjectName, visit_expressions};

use super::expression::{Body, body, expression};
use super::ident::{OF_THE_ROLE, name_parts, schemas};
use super::scene::Rights;
use super::{Config, Refusal};
use crate::postgres::catalog::Catalog;
use crate::postgres::policy::{Function, Language, Volatility, functions, operator_schemas};
use crate::postgres::{self, Pool};

/// Functions by schema and name; overloaded ones are several.
#[derive(Clone, Debug, Default)]
pub(super) struct Library {
    known: HashMap<(String, String), Vec<Known>>,
    /// Functions of the identity alone, by the configuration's word: `schema.name`.
    trusted: Vec<String>,
    /// The schemas of operators that are not PostgreSQL's own.
    operators: BTreeSet<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) function: Function,
    /// Of one in SQL.
    pub(super) body: Option<Result<Body, Refusal>>,
}

/// What a call may be.
#[derive(Clone, Debug)]
pub(super) enum Callable<'a> {
    /// The same for the same arguments, by whatever name; or of the identity alone.
    Plain,
    /// One in SQL, to be looked into.
    Sql(&'a Function, &'a Body),
}

/// How often bodies are looked into for further functions.
const DEPTH: usize = 8;
/// What has the form of a call and is no function.
const SYNTAX: [&str; 6] = ["coalesce", "nullif", "greatest", "least", "array", "row"];
/// Words of the moment.
const TIME: [&str; 5] = ["current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"];
/// Words of the identity alone.
pub(super) const IDENTITY: [&str; 4] = ["current_user", "session_user", "current_role", "user"];
/// Functions of `pg_catalog` that are marked as stable for what they depend on settings of a session that are the same
/// for all of ours.
const SETTLED: [&str; 16] = [
    "current_setting",
    "concat",
    "concat_ws",
    "format",
    "to_json",
    "to_jsonb",
    "json_build_object",
    "jsonb_build_object",
    "json_build_array",
    "jsonb_build_array",
    "array_to_string",
    "array_to_json",
    "json_array_elements_text",
    "array_agg",
    "count",
    "string_agg",
];

impl Library {
    /// Everything that a role's policies call: of all tables, since a sub-select's table has policies of its own.
    pub(super) async fn of(
        pool: &Pool,
        config: &Config,
        catalog: &Catalog,
        rights: &Rights,
    ) -> Result<Self, postgres::Error> {
        let accesses = catalog.tables().into_iter().filter_map(|table| rights.access(table.oid));
        let policies = accesses.filter(|access| access.row_security).flat_map(|access| &access.policies);
        let exprs: Vec<_> =
            policies.filter_map(|policy| expression(policy.expression.as_deref()?).ok()).collect();
        Self::gather(pool, &config.search_path, &config.identity_functions, &exprs).await
    }

    /// Everything that these texts call, directly or not.
    async fn gather(
        pool: &Pool,
        search_path: &str,
        trusted: &[String],
        exprs: &[Expr],
    ) -> Result<Self, postgres::Error> {
        let operators = operator_schemas(pool).await?.into_iter().collect();
        let mut library = Self { known: HashMap::new(), trusted: trusted.to_vec(), operators };
        let mut wanted = Wanted { paths: schemas(search_path).into_iter().collect(), ..Wanted::default() };
        for expr in exprs {
            wanted.calls(expr);
        }
        for _ in 0..DEPTH {
            let names: Vec<_> = wanted.names().filter(|name| !library.known.contains_key(name)).collect();
            if names.is_empty() {
                break;
            }
            let found = functions(pool, &names).await?;
            library.known.extend(names.into_iter().map(|name| (name, Vec::new())));
            for function in found {
                let body = match &function.language {
                    Language::Sql(text) if !library.trusts(&function) => Some(body(text)),
                    _ => None,
                };
                if let Some(Ok(body)) = &body {
                    wanted.paths.extend(function.search_path.as_deref().map(schemas).unwrap_or_default());
                    match body {
                        Body::Expression(expr) => wanted.calls(&**expr),
                        Body::Query(query) => wanted.calls(&**query),
                    }
                }
                let name = (function.schema.to_string(), function.name.to_string());
                library.known.entry(name).or_default().push(Known { function, body });
            }
        }
        Ok(library)
    }

    /// What a call is of: its name looked for in `schemas`, its arguments so many.
    pub(super) fn find(
        &self,
        call: &Call,
        arguments: usize,
        schemas: &[String],
    ) -> Result<Callable<'_>, Refusal> {
        let refuse = |reason: &str| Err(Refusal::part(&call.to_string(), reason));
        let Some(names) = name_parts(&call.name) else { return refuse("has a name of another kind") };
        let (in_schemas, name) = match names.as_slice() {
            [name] => (schemas.to_vec(), name),
            [schema, name] => (vec![schema.clone()], name),
            _ => return refuse("has a name of another kind"),
        };
        if names.len() == 1 && (SYNTAX.contains(&name.as_str()) || IDENTITY.contains(&name.as_str())) {
            return Ok(Callable::Plain);
        }
        if names.len() == 1 && TIME.contains(&name.as_str()) {
            return refuse("depends on time");
        }
        let (mut known, mut unknown): (Vec<&Known>, bool) = (Vec::new(), false);
        for schema in in_schemas.iter().filter(|schema| *schema != OF_THE_ROLE) {
            match self.known.get(&(schema.clone(), name.clone())) {
                Some(found) => known.extend(found),
                None => unknown = true,
            }
        }
        let builtin = |known: &&Known| &*known.function.schema == "pg_catalog";
        if in_schemas.iter().any(|schema| schema == OF_THE_ROLE) && !known.iter().all(builtin) {
            return refuse(
                "is looked for in a schema of the role's own name first: write it with its schema",
            );
        }
        if unknown && !known.is_empty() {
            return refuse(
                "is looked for along the search_path of another function: write it with its schema",
            );
        }
        if known.is_empty() {
            return refuse("calls a function that is not there");
        }
        if known.iter().all(builtin) {
            let settled = SETTLED.contains(&name.as_str())
                || known.iter().all(|known| known.function.volatility == Volatility::Immutable);
            return if settled {
                Ok(Callable::Plain)
            } else {
                refuse("depends on time, or on more than its arguments and the identity")
            };
        }
        if known.iter().any(builtin) {
            return refuse("may be either of several functions");
        }
        let fitting: Vec<_> = known.iter().filter(|known| known.function.takes(arguments)).collect();
        let [Known { function, body }] = fitting.as_slice() else {
            return refuse("may be any of several functions");
        };
        if function.parameters.len() != arguments {
            return refuse("leaves arguments to their defaults");
        }
        if self.trusts(function) || (function.volatility == Volatility::Immutable && body.is_none()) {
            return Ok(Callable::Plain);
        }
        if function.volatility == Volatility::Volatile {
            return refuse("calls a volatile function: declare it `stable` if it is");
        }
        match (body, &function.language) {
            (Some(Ok(body)), _) => Ok(Callable::Sql(function, body)),
            (Some(Err(refusal)), _) => Err(refusal.clone()),
            (None, Language::Other(language)) => refuse(&format!(
                "calls a function in {language}: only functions in SQL are looked into; one that depends on the claims and \
                 the role alone, and reads no table, can be named in `policy.identity_functions`"
            )),
            (None, Language::Sql(_)) => Ok(Callable::Plain),
        }
    }

    /// A schema with operators that is in one of two search paths and not in the other.
    pub(super) fn operators_apart(&self, one: &[String], other: &[String]) -> Option<&String> {
        self.operators.iter().find(|schema| one.contains(schema) != other.contains(schema))
    }

    /// The one function, not of PostgreSQL's own, that a call can be of.
    pub(super) fn own(&self, call: &Call, arguments: usize, schemas: &[String]) -> Option<&Function> {
        match name_parts(&call.name)?.as_slice() {
            [name] => self.own_named(name, arguments, schemas),
            [schema, name] => self.own_named(name, arguments, std::slice::from_ref(schema)),
            _ => None,
        }
    }

    /// The same, of a name without a schema.
    pub(super) fn own_named(&self, name: &str, arguments: usize, schemas: &[String]) -> Option<&Function> {
        let key = |schema: &String| (schema.clone(), name.to_owned());
        let known = schemas.iter().filter_map(|schema| self.known.get(&key(schema))).flatten();
        let mut fitting =
            known.filter(|known| known.function.takes(arguments) && &*known.function.schema != "pg_catalog");
        let one = fitting.next()?;
        fitting.next().is_none().then_some(&one.function)
    }

    /// Whether a call can only be of a function of PostgreSQL's own.
    pub(super) fn is_builtin(&self, call: &Call, schemas: &[String]) -> bool {
        match name_parts(&call.name).as_deref() {
            Some([name]) => schemas.iter().all(|schema| {
                schema == "pg_catalog"
                    || self.known.get(&(schema.clone(), name.clone())).is_none_or(Vec::is_empty)
            }),
            Some([schema, _]) => schema == "pg_catalog",
            _ => false,
        }
    }

    fn trusts(&self, function: &Function) -> bool {
        let trusted = |name: &&String| name.split_once('.') == Some((&function.schema, &function.name));
        self.trusted.iter().find(trusted).is_some()
    }
}

/// What is called: which of the search paths is in force where is only known later, so each name is looked for along all.
#[derive(Default)]
struct Wanted {
    bare: BTreeSet<String>,
    with_schema: BTreeSet<(String, String)>,
    /// The schemas of all paths.
    paths: BTreeSet<String>,
}

impl Wanted {
    /// Every name that a function may have.
    fn names(&self) -> impl Iterator<Item = (String, String)> {
        let along = self
            .bare
            .iter()
            .flat_map(|name| self.paths.iter().map(move |schema| (schema.clone(), name.clone())));
        along.chain(self.with_schema.iter().cloned())
    }

    /// Notes what is called.
    fn calls<V: sqlparser::ast::Visit>(&mut self, node: &V) {
        let mut add = |name: &ObjectName| match name_parts(name).as_deref() {
            Some([name]) => _ = self.bare.insert(name.clone()),
            Some([schema, name]) => _ = self.with_schema.insert((schema.clone(), name.clone())),
            _ => {}
        };
        let _: ControlFlow<()> = visit_expressions(node, |expr| {
            if let Expr::Function(call) = expr {
                add(&call.name);
            }
            ControlFlow::Continue(())
        });
        // Functions in `from` are no expressions.
        let _: ControlFlow<()> = sqlparser::ast::visit_relations(node, |name| {
            add(name);
            ControlFlow::Continue(())
        });
    }
}
