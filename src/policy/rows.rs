//! Columns of the row that is judged, told apart from all other columns.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, Query, TableFactor, visit_expressions};

use super::Refusal;
use super::expression::{children, select_of, subselect};
use super::ident::{fold, quoted};
use super::subselect::sources;
use crate::event::{Table, TableName};

/// What stands before a column of the row: no relation can be called so in a text that PostgreSQL wrote.
const ROW: &str = "«row»";

/// A column of the row.
pub(super) fn row_column(name: &str) -> Expr {
    Expr::CompoundIdentifier(vec![quoted(ROW), quoted(name)])
}

/// The column of the row that it is.
pub(super) fn as_row_column(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Nested(inner) => as_row_column(inner),
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [row, column] if row.value == ROW => Some(&column.value),
            _ => None,
        },
        _ => None,
    }
}

/// Whether it reads the row, sub-selects included.
pub(super) fn reads_row<V: sqlparser::ast::Visit>(node: &V) -> bool {
    let found = visit_expressions(node, |expr| match expr {
        Expr::CompoundIdentifier(parts) if parts[0].value == ROW => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// Marks the columns of `table` in an expression of one of its policies. In a sub-select PostgreSQL writes every
/// column with its relation.
pub(super) fn mark(expr: &mut Expr, table: &Table, shadows: &[String]) -> Result<(), Refusal> {
    let name = match expr {
        Expr::Identifier(ident) if shadows.is_empty() => Some(fold(ident)),
        Expr::CompoundIdentifier(parts) => {
            let names: Vec<String> = parts.iter().map(fold).collect();
            match names.as_slice() {
                [relation, column] if !shadows.contains(relation) && **relation == *table.name.name => {
                    Some(column.clone())
                }
                [schema, relation, column]
                    if !shadows.contains(relation) && TableName::new(schema, relation) == table.name =>
                {
                    Some(column.clone())
                }
                _ => None,
            }
        }
        _ => None,
    };
    if let Some(name) = name {
        *expr = row_column(&name);
        return Ok(());
    }
    if let Some(query) = subselect(expr) {
        mark_query(query, table, shadows)?;
    }
    children(expr)?.into_iter().try_for_each(|child| mark(child, table, shadows))
}

fn mark_query(query: &mut Query, table: &Table, shadows: &[String]) -> Result<(), Refusal> {
    let mut shadows = shadows.to_vec();
    shadows.extend(sources(query)?.iter().map(|source| source.alias.clone()));
    // A sub-select without a table still has its columns written with their relation.
    shadows.push(String::new());
    let shown = query.to_string();
    let select = select_of(query).ok_or_else(|| Refusal::part(&shown, "is not a plain `select`"))?;
    for item in &mut select.projection {
        if let Some(expr) = super::subselect::selected(item) {
            mark(expr, table, &shadows)?;
        }
    }
    for from in &mut select.from {
        if let TableFactor::Table { args: Some(args), .. } = &mut from.relation {
            for arg in &mut args.args {
                if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg {
                    mark(expr, table, &shadows)?;
                }
            }
        }
    }
    select.selection.as_mut().map_or(Ok(()), |expr| mark(expr, table, &shadows))
}
