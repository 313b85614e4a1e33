//! What may be asked of PostgreSQL ahead of any row: the same for one identity until something changes that is watched.

use std::ops::ControlFlow;
use std::sync::Arc;

use sqlparser::ast::{
    ArrayElemTypeDef, CastKind, DataType, Expr, Function as Call, Query, SelectItem, Value, visit_expressions,
};

use super::Refusal;
use super::body::is_opaque;
use super::expression::{Body, arguments, children, conjuncts, expression, is_literal, select_of, subselect};
use super::ident::{fold, quoted, schemas};
use super::library::Callable;
use super::plan::{Guard, Planner, is_fold};
use super::rows::reads_row;
use super::subselect::{From, selected, sources};
use crate::event::{Collation, Table};
use crate::postgres::policy::Function;

/// Where an expression stands.
#[derive(Clone, Debug)]
pub(super) struct Within {
    /// Where names without a schema are looked for.
    pub(super) schemas: Vec<String>,
    /// As whom it is computed, if not as the identity: the owner of a `security definer` function.
    pub(super) definer: Option<u32>,
    /// Whether false and unknown come to the same here.
    pub(super) positive: bool,
    /// How many functions it stands in.
    pub(super) depth: usize,
}

/// A guard's number, and what is known of the query that it guards.
pub(super) struct Guarded {
    pub(super) guard: usize,
    pub(super) alias: String,
    pub(super) table: Arc<Table>,
}

/// How many functions may call each other.
const DEPTH: usize = 8;

impl Within {
    /// The whole of a policy.
    pub(super) fn policy() -> Self {
        Self { schemas: schemas(""), definer: None, positive: true, depth: 0 }
    }

    /// The body of a function.
    pub(super) fn function(&self, function: &Function, search_path: &str) -> Result<Self, Refusal> {
        if self.depth == DEPTH {
            return Err(Refusal::part(&function.name, "calls functions more than 8 deep"));
        }
        let schemas = match &function.search_path {
            Some(own) => schemas(own),
            // What the function around it has set still holds.
            None if self.depth > 0 => self.schemas.clone(),
            None => schemas(search_path),
        };
        Ok(Self {
            schemas,
            definer: function.definer.or(self.definer),
            positive: self.positive,
            depth: self.depth + 1,
        })
    }
}

impl Planner<'_> {
    /// Whether an expression comes to the same for one identity until something changes that a guard watches. Columns are
    /// those of sub-selects around it.
    pub(super) fn check(&mut self, expr: &mut Expr, within: &Within) -> Result<(), Refusal> {
        if let Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr: inner, data_type, .. } = expr
            && is_time(data_type)
            && !is_literal(inner)
        {
            return Err(Refusal::part(&expr.to_string(), "reads a time from a text, which may be `now`"));
        }
        if let Expr::Function(call) = expr {
            self.check_call(call, within)?;
        }
        if let Some(query) = subselect(expr) {
            self.check_query(query, within)?;
        }
        children(expr)?.into_iter().try_for_each(|child| self.check(child, within))
    }

    fn check_call(&mut self, call: &mut Call, within: &Within) -> Result<(), Refusal> {
        let given: Vec<Expr> = arguments(call)?.into_iter().map(|it| it.clone()).collect();
        let library = self.library;
        match library.find(call, given.len(), &within.schemas)? {
            Callable::Plain => Ok(()),
            Callable::Sql(function, body) => {
                let given = given.into_iter().map(|it| self.settled(it, within)).collect();
                match self.body_of(function, body, given, within)? {
                    (Body::Expression(mut expr), inner) => self.check(&mut expr, &inner),
                    (Body::Query(mut query), inner) => self.check_query(&mut query, &inner).map(drop),
                }
            }
        }
    }

    /// Checks a sub-select, and has a guard watch its table; `None` if it is over none.
    pub(super) fn check_query(
        &mut self,
        query: &mut Query,
        within: &Within,
    ) -> Result<Option<Guarded>, Refusal> {
        let sources = sources(query)?;
        let shown = query.to_string();
        let select = select_of(query).ok_or_else(|| Refusal::part(&shown, "is not a plain `select`"))?;
        for item in &mut select.projection {
            if let Some(expr) = selected(item) {
                self.check(expr, within)?;
            }
        }
        if let Some(selection) = &mut select.selection {
            self.check(selection, within)?;
        }
        match sources.into_iter().next() {
            None => Ok(None),
            Some(source) => match source.from {
                From::Call(mut call) => self.check(&mut call, within).map(|()| None),
                From::Relation(schema, name) => {
                    let table = self.scene.table(schema.as_deref(), &name, &within.schemas)?;
                    let mut read = self.check_rights(&table, within)?;
                    read.extend(columns(query, &source.alias, &table)?);
                    self.check_collations(&read, &table)?;
                    let guard = self.guard(query, &source.alias, &table, read, within);
                    Ok(Some(Guarded { guard, alias: source.alias, table }))
                }
            },
        }
    }

    /// A text that a sub-select gives is compared by the collation that it brings along.
    fn check_collations(&mut self, read: &[usize], table: &Table) -> Result<(), Refusal> {
        for index in read {
            let column = &table.columns[*index];
            match column.collation {
                Collation::Nondeterministic => {
                    let reason = format!("of {} has a nondeterministic collation", table.name);
                    return Err(Refusal::part(&column.name, &reason));
                }
                Collation::Deterministic => self.ordered_elsewhere += 1,
                Collation::Bytes | Collation::None => {}
            }
        }
        Ok(())
    }

    /// What binds the reader of a sub-select's table: its policies are part of the sub-select. Gives back the columns of the
    /// table that they read.
    fn check_rights(&mut self, table: &Arc<Table>, within: &Within) -> Result<Vec<usize>, Refusal> {
        self.seen.insert(table.oid);
        if let Some(owner) = within.definer {
            return if self.scene.is_unbound(owner, table.oid) {
                let reads = format!("has_table_privilege({owner}::oid, {}::oid, 'select')", table.oid);
                self.plan
                    .privileges
                    .insert(reads, format!("permission denied for table {}", table.name.name));
                Ok(Vec::new())
            } else {
                let reason = "is read by a `security definer` function whose owner is bound by its policies";
                Err(Refusal::part(&table.name.to_string(), reason))
            };
        }
        let Some(access) = self.scene.access(table.oid) else {
            let reason = "is read by the policy, and what the role may see of it is not known yet";
            return Err(Refusal::part(&table.name.to_string(), reason));
        };
        if !access.row_security {
            return Ok(Vec::new());
        }
        if !self.open.insert(table.oid) {
            return Err(Refusal::part(&table.name.to_string(), "has policies that depend on themselves"));
        }
        let mut read = Vec::new();
        let checked = access.policies.iter().try_for_each(|policy| {
            let Some(text) = &policy.expression else { return Ok(()) };
            let mut expr = expression(text)?;
            // What it shows depends on its own columns as much as on what else it reads.
            read.extend(columns_of(&expr, &table.name.name, table)?);
            self.check(&mut expr, &Within::policy()).map_err(|refusal| refusal.of(&policy.name, &table.name))
        });
        self.check_collations(&read, table)?;
        self.open.remove(&table.oid);
        checked.map(|()| read)
    }

    /// Has the rows of a query's table watched that it may depend on.
    fn guard(
        &mut self,
        query: &Query,
        alias: &str,
        table: &Arc<Table>,
        mut columns: Vec<usize>,
        within: &Within,
    ) -> usize {
        columns.sort_unstable();
        columns.dedup();
        let selection = super::subselect::plain_select(query).and_then(|select| select.selection.clone());
        let (mut kept, mut exact) = (Vec::new(), true);
        for conjunct in selection.map(conjuncts).unwrap_or_default() {
            let folds = self.plan.folds.len();
            if let Some(conjunct) = self.guard_conjunct(conjunct, alias, table, within) {
                kept.push(conjunct);
            } else {
                self.plan.folds.truncate(folds);
                exact = false;
            }
        }
        self.plan.guards.push(Guard { table: table.clone(), conjuncts: kept, exact, columns });
        self.plan.guards.len() - 1
    }

    /// A condition of a sub-select as one on the rows of its table alone; `None` if it is none.
    fn guard_conjunct(
        &mut self,
        mut expr: Expr,
        alias: &str,
        table: &Table,
        within: &Within,
    ) -> Option<Expr> {
        if let Some(column) = column_of(&expr, alias, table) {
            return Some(Expr::Identifier(quoted(&table.columns[column].name)));
        }
        if is_literal(&expr) || matches!(&expr, Expr::Identifier(ident) if is_fold(ident)) {
            return Some(expr);
        }
        if reads_row(&expr) {
            return None;
        }
        let reads_table = visit_expressions(&expr, |expr| match column_of(expr, alias, table) {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        });
        if reads_table.is_continue() {
            let open = visit_expressions(&expr, |expr| match expr {
                Expr::Identifier(ident) if is_fold(ident) => ControlFlow::Continue(()),
                // A parameter that has no argument here, or a column of a query around this one.
                Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
                Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            });
            return if open.is_continue() { self.fold(expr, within).ok() } else { None };
        }
        if subselect(&mut expr).is_some() {
            return None;
        }
        for child in children(&mut expr).ok()? {
            *child = self.guard_conjunct(child.clone(), alias, table, within)?;
        }
        Some(expr)
    }
}

/// The columns of its table that a query reads.
///
/// # Errors
/// It reads one that the stream does not carry: what becomes of that one nobody would see.
fn columns(query: &Query, alias: &str, table: &Table) -> Result<Vec<usize>, Refusal> {
    let all = super::subselect::plain_select(query).is_some_and(|select| {
        let is_wildcard =
            |item: &SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
        select.projection.iter().any(is_wildcard)
    });
    if all { Ok((0..table.columns.len()).collect()) } else { columns_of(query, alias, table) }
}

/// The columns of a table that are read somewhere.
///
/// # Errors
/// As [`columns`].
fn columns_of<V: sqlparser::ast::Visit>(node: &V, alias: &str, table: &Table) -> Result<Vec<usize>, Refusal> {
    let mut found: Vec<usize> = Vec::new();
    let strange = visit_expressions(node, |expr| {
        let named = match expr {
            Expr::Identifier(ident) if is_fold(ident) || is_opaque(ident) => false,
            Expr::Identifier(_) => true,
            Expr::CompoundIdentifier(parts) => fold(&parts[0]) == alias,
            _ => return ControlFlow::Continue(()),
        };
        match column_of(expr, alias, table) {
            Some(column) => found.push(column),
            None if named => return ControlFlow::Break(expr.to_string()),
            None => {}
        }
        ControlFlow::Continue(())
    });
    if let ControlFlow::Break(name) = strange {
        let reason = format!("is read by the policy, and the stream does not carry it with {}", table.name);
        return Err(Refusal::part(&name, &reason));
    }
    Ok(found)
}

/// The column of a sub-select's table that an expression is.
pub(super) fn column_of(expr: &Expr, alias: &str, table: &Table) -> Option<usize> {
    match expr {
        Expr::Nested(inner) => column_of(inner, alias, table),
        Expr::Identifier(ident) => table.column(&fold(ident)),
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [relation, column] if fold(relation) == alias => table.column(&fold(column)),
            [schema, relation, column]
                if fold(schema) == *table.name.schema && fold(relation) == *table.name.name =>
            {
                table.column(&fold(column))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Whether the type's input reads words like `now`, alone or as an element or a bound.
fn is_time(data_type: &DataType) -> bool {
    /// Ranges of times.
    const RANGES: [&str; 6] =
        ["daterange", "tsrange", "tstzrange", "datemultirange", "tsmultirange", "tstzmultirange"];
    match data_type {
        DataType::Date | DataType::Time(..) | DataType::Timestamp(..) | DataType::Datetime(..) => true,
        DataType::Array(
            ArrayElemTypeDef::SquareBracket(element, _)
            | ArrayElemTypeDef::AngleBracket(element)
            | ArrayElemTypeDef::Parenthesis(element),
        ) => is_time(element),
        other => {
            let name = other.to_string().to_ascii_lowercase();
            RANGES.iter().any(|range| name.trim_matches('"').trim_start_matches("pg_catalog.") == *range)
        }
    }
}
