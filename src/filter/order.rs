use sqlparser::ast::{Expr, OrderByExpr, OrderBySort};
use sqlparser::parser::Parser;

use super::bind::unknown_column;
use super::error::Error;
use super::lex;
use super::parse::{fold, whole};
use super::render::quote;
use super::syntax::Positions;
use crate::event::{Class, Table};

/// The order of a snapshot: `at desc, id asc nulls last`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Order {
    /// What rows are ordered by first, second, ….
    pub terms: Vec<OrderTerm>,
}

/// One column of an [`Order`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrderTerm {
    /// Index into [`Table::columns`].
    pub column: usize,
    /// The column's name, as stored.
    pub name: std::sync::Arc<str>,
    /// Which end comes first.
    pub direction: Direction,
    /// Where NULLs come: last in ascending and first in descending order, unless the text says otherwise.
    pub nulls: Nulls,
}

/// Which end of an order comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The least.
    Ascending,
    /// The greatest.
    Descending,
}

/// Where NULLs come in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nulls {
    /// Before all values.
    First,
    /// Behind all values.
    Last,
}

/// As many columns as PostgreSQL's own indexes have.
const TERMS: usize = 32;

/// Reads `order by`'s list of columns of `table`.
///
/// # Errors
/// [`ErrorKind::Syntax`](super::ErrorKind::Syntax), [`ErrorKind::UnknownColumn`](super::ErrorKind::UnknownColumn), and
/// [`ErrorKind::Unsupported`](super::ErrorKind::Unsupported) for anything but columns, or a type without an order.
pub fn parse_order(text: &str, table: &Table) -> Result<Order, Error> {
    let positions = Positions::of(text);
    let tokens = lex::order_tokens(text, &positions)?;
    if tokens.is_empty() {
        return Err(Error::syntax(1, "the order is empty: name a column, as in `id desc`"));
    }
    let terms =
        whole(tokens, &positions, |parser| parser.parse_comma_separated(Parser::parse_order_by_expr))?;
    if terms.len() > TERMS {
        return Err(Error::unsupported(None, format!("an order by more than {TERMS} columns")));
    }
    let terms = terms.iter().map(|term| read(term, table, &positions)).collect::<Result<_, _>>()?;
    Ok(Order { terms })
}

fn read(term: &OrderByExpr, table: &Table, positions: &Positions) -> Result<OrderTerm, Error> {
    let ident = match &term.expr {
        Expr::Identifier(ident) => ident,
        Expr::CompoundIdentifier(parts) if parts.len() == 2 && fold(&parts[0]) == *table.name.name => {
            &parts[1]
        }
        _ => {
            return Err(Error::unsupported(
                None,
                format!("`{}`: an order names columns of {}", term.expr, table.name),
            ));
        }
    };
    let position = positions.at(ident.span.start).unwrap_or(1);
    let name = fold(ident);
    let column = table.column(&name).ok_or_else(|| unknown_column(table, &name, position))?;
    let kind = &table.columns[column].kind;
    if kind.class == Class::Json {
        return Err(Error::unsupported(position, format!("`{name}` is of type json, which has no order")));
    }
    let direction = match &term.options.sort {
        None | Some(OrderBySort::Asc) => Direction::Ascending,
        Some(OrderBySort::Desc) => Direction::Descending,
        Some(OrderBySort::Using(_)) => return Err(Error::unsupported(position, "`using` in an order")),
    };
    if term.with_fill.is_some() {
        return Err(Error::unsupported(position, "`with fill` in an order"));
    }
    let nulls = match (term.options.nulls_first, direction) {
        (Some(true), _) | (None, Direction::Descending) => Nulls::First,
        (Some(false), _) | (None, Direction::Ascending) => Nulls::Last,
    };
    Ok(OrderTerm { column, name: table.columns[column].name.clone(), direction, nulls })
}

impl Order {
    /// What follows `order by`.
    pub fn to_sql(&self) -> String {
        let terms = self.terms.iter().map(|term| {
            let direction = match term.direction {
                Direction::Ascending => "asc",
                Direction::Descending => "desc",
            };
            let nulls = match term.nulls {
                Nulls::First => "first",
                Nulls::Last => "last",
            };
            format!("{} {direction} nulls {nulls}", quote(&term.name))
        });
        terms.collect::<Vec<_>>().join(", ")
    }
}
