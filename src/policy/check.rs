//! What may be asked of PostgreSQL ahead of any row: the same for one identity until something changes that is watched.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use sqlparser::ast::{
    CastKind, DataType, Expr, Function as Call, Ident, Query, SelectItem, Value, visit_expressions,
    visit_expressions_mut,
};

use super::Refusal;
use super::expression::{
    Body, arguments, children, conjuncts, expression, is_literal, quoted, select_of, subselect,
};
use super::library::{Callable, schemas};
use super::plan::{Guard, Planner, is_the_same_for_a_definer};
use super::rows::{fold, reads_row};
use super::subselect::{From, selected, sources};
use crate::event::Table;
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
        let path = function.search_path.as_deref().unwrap_or(search_path);
        Ok(Self {
            schemas: schemas(path),
            definer: function.definer.or(self.definer),
            positive: self.positive && !function.strict,
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
                let within = within.function(function, &self.scene.search_path)?;
                match substituted(body, function, &given) {
                    Body::Expression(mut expr) => self.check(&mut expr, &within),
                    Body::Query(mut query) => self.check_query(&mut query, &within).map(drop),
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
                    let guard = self.guard(query, &source.alias, &table, read, within);
                    Ok(Some(Guarded { guard, alias: source.alias, table }))
                }
            },
        }
    }

    /// What binds the reader of a sub-select's table: its policies are part of the sub-select. Gives back the columns of the
    /// table that they read.
    fn check_rights(&mut self, table: &Arc<Table>, within: &Within) -> Result<Vec<usize>, Refusal> {
        self.seen.insert(table.oid);
        if let Some(owner) = within.definer {
            return if self.scene.is_unbound(owner, table.oid) {
                Ok(Vec::new())
            } else {
                let reason = "is read by a `security definer` function whose owner is bound by its policies";
                Err(Refusal::part(&table.name.to_string(), reason))
            };
        }
        let Some(access) = self.scene.access(table.oid).filter(|access| access.row_security) else {
            return Ok(Vec::new());
        };
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
        if is_literal(&expr) {
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
                // A parameter that has no argument here, or a column of a query around this one.
                Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
                Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            });
            let closed = open.is_continue() && (within.definer.is_none() || is_the_same_for_a_definer(&expr));
            return if closed { self.fold(expr, within).ok() } else { None };
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

/// A function's body with its arguments in their places.
pub(super) fn substituted(body: &Body, function: &Function, given: &[Expr]) -> Body {
    let by_name: HashMap<&str, &Expr> = function
        .parameters
        .iter()
        .zip(given)
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, it)| (&**name, it))
        .collect();
    let place = |expr: &mut Expr| {
        let argument = match &*expr {
            Expr::Value(value) => match &value.value {
                Value::Placeholder(name) => {
                    let number = name.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
                    number.and_then(|number| given.get(number.checked_sub(1)?))
                }
                _ => None,
            },
            Expr::Identifier(ident) => by_name.get(&*fold(ident)).copied(),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [owner, Ident { .. }] if fold(owner) == *function.name => {
                    by_name.get(&*fold(&parts[1])).copied()
                }
                _ => None,
            },
            _ => None,
        };
        if let Some(argument) = argument {
            *expr = Expr::Nested(Box::new(argument.clone()));
        }
    };
    let mut body = body.clone();
    let _: ControlFlow<()> = match &mut body {
        Body::Expression(expr) => visit_expressions_mut(&mut **expr, |expr| {
            place(expr);
            ControlFlow::Continue(())
        }),
        Body::Query(query) => visit_expressions_mut(&mut **query, |expr| {
            place(expr);
            ControlFlow::Continue(())
        }),
    };
    body
}

/// Whether the type's input reads words like `now`.
fn is_time(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Date | DataType::Time(..) | DataType::Timestamp(..) | DataType::Datetime(..)
    )
}
