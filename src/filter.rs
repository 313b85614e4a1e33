//! Which rows a subscriber wants: a condition in PostgreSQL's own language, decided here as PostgreSQL would decide it.
//!
//! ```text
//!  text, params ──parse──▶ Parsed ──bind──▶ Bound ──resolve──▶ Filter ──▶ matches(row)    of every change
//!                                    │  ▲                        │ └────▶ to_sql()        of the snapshot
//!                          literals  ▼  │ canonical text         ▼
//!                                  PostgreSQL                  Index ──▶ candidates(row)  of all filters of a table
//! ```
//!
//! A filter is the part of the expression language whose result can be reproduced exactly; everything else is refused,
//! with its place in the text, before anyone relies on it. What is accepted has the truth value that PostgreSQL gives
//! it, NULLs included: `tests/oracle.rs` asks PostgreSQL itself, ten thousands of times.
//!
//! Nothing here does I/O, reads a clock, or takes more memory or time than its limits say, whatever the text.

mod array;
mod bind;
mod decimal;
mod error;
mod index;
mod json;
mod lex;
mod like;
mod literal;
mod normal;
mod order;
mod param;
mod parse;
mod precedence;
mod predicate;
mod render;
mod reserved;
mod scale;
mod syntax;
mod time;
mod value;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::event::{Datum, Kind, Table, Timestamp};

pub use error::{Error, ErrorKind, RowError};
pub use index::Index;
pub use order::{Direction, Nulls, Order, OrderTerm, parse_order};
pub use param::Param;

use predicate::Predicate;

/// The moment that PostgreSQL's ISO text of a `timestamptz` says, as in `2026-11-22 10:08:17.123456+00`; `infinity` is
/// further than every other.
pub fn moment(text: &[u8]) -> Option<Timestamp> {
    time::timestamp(text).map(Timestamp::new)
}

/// Reads `text` as exactly one expression; `params` take the places of `$1`, `$2`, ….
///
/// # Errors
/// [`ErrorKind::Syntax`] and [`ErrorKind::Unsupported`]; nothing is known of the table yet.
pub fn parse(text: &str, params: &[Param]) -> Result<Parsed, Error> {
    parse::expression(text, params).map(|expr| Parsed { expr: Arc::new(expr) })
}

/// As [`parse()`], for a policy: its text and parameters come from the server itself, which bounds them; an array may be
/// as long as a filter's lists together may be.
///
/// # Errors
/// As [`parse()`].
pub fn parse_policy(text: &str, params: &[Param]) -> Result<Parsed, Error> {
    parse::trusted_expression(text, params).map(|expr| Parsed { expr: Arc::new(expr) })
}

/// Runs whatever bytes a fuzzer comes up with through the parser, and checks what must hold of any result: it returns,
/// and an error's position lies in the text or just behind it.
///
/// # Panics
/// If that does not hold.
pub fn fuzz(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let behind = text.chars().count() + 1;
    for error in
        [parse(&text, &[]).err(), parse(&text, &[Param::Text("7".into())]).err()].into_iter().flatten()
    {
        assert!(error.position().is_none_or(|position| (1..=behind).contains(&position)), "{error:?}");
    }
}

/// A filter's text, read but not yet bound to a table.
#[derive(Clone, Debug)]
pub struct Parsed {
    expr: Arc<syntax::Expr>,
}

impl Parsed {
    /// Finds the columns in `table`, and gives every literal the type that PostgreSQL would give it.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownColumn`], [`ErrorKind::Type`] and [`ErrorKind::Unsupported`].
    pub fn bind(self, table: &Table) -> Result<Bound, Error> {
        let (predicate, literals) = bind::bind(&self.expr, table, None)?;
        Ok(Bound { expr: self.expr, table: table.clone(), predicate, literals })
    }
}

/// A literal that only PostgreSQL can read: `'now'`, `'1 day'`, a date in words, a `jsonb` value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Literal {
    /// As it was written.
    pub text: String,
    /// As which type it is to be read; never an array.
    pub kind: Kind,
    /// Where the expression that it belongs to starts, in characters counted from 1.
    pub position: usize,
}

/// A filter bound to a table, of which some literals may have yet to be read.
#[derive(Clone, Debug)]
pub struct Bound {
    expr: Arc<syntax::Expr>,
    table: Table,
    predicate: Predicate,
    literals: Vec<Literal>,
}

impl Bound {
    /// The literals that PostgreSQL must read, often none: the output, under the pinned settings, of
    /// `($1::text)::type`.
    pub fn unresolved(&self) -> &[Literal] {
        &self.literals
    }

    /// Completes the filter with the canonical text of each of [`Bound::unresolved`], in their order.
    ///
    /// # Errors
    /// [`ErrorKind::Type`] if there are more or fewer, or if one is not what the type's output function writes;
    /// [`ErrorKind::Unsupported`] if one can be read but not compared.
    pub fn resolve(self, canonical: &[String]) -> Result<Filter, Error> {
        let (given, wanted) = (canonical.len(), self.literals.len());
        if given != wanted {
            return Err(Error::mistyped(None, format!("{given} canonical texts for {wanted} literals")));
        }
        let predicate = if wanted == 0 {
            self.predicate
        } else {
            bind::bind(&self.expr, &self.table, Some(canonical))?.0
        };
        Ok(Filter::new(predicate))
    }
}

/// A condition on the rows of one table.
///
/// Cheap to clone. Two filters are equal if they say the same in the same normal form, whatever words they were
/// written in.
#[derive(Clone, Debug)]
pub struct Filter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    predicate: Predicate,
    columns: Box<[usize]>,
    canonical: Box<str>,
}

/// A condition in SQL, with its values beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sql {
    /// The condition; parameters are numbered from `$1`.
    pub text: String,
    /// Their values, each to be sent as text: every `$n` stands in `$n::text`.
    pub params: Vec<String>,
}

impl Filter {
    fn new(predicate: Predicate) -> Self {
        let mut columns = Vec::new();
        predicate.operands(&mut |operand| columns.push(operand.column));
        columns.sort_unstable();
        columns.dedup();
        let canonical = render::canonical(&predicate).into();
        Self(Arc::new(Inner { predicate, columns: columns.into(), canonical }))
    }

    /// The columns that it reads: indexes into [`Table::columns`], ascending.
    pub fn columns(&self) -> &[usize] {
        &self.0.columns
    }

    /// Whether the condition is true of `row`, which has a value for each of [`Table::columns`]; unknown is not true.
    ///
    /// # Errors
    /// [`RowError`] if the row does not say, or says it in a form that cannot be read.
    pub fn matches(&self, row: &[Datum<'_>]) -> Result<bool, RowError> {
        self.truth(row).map(|truth| truth == Some(true))
    }

    /// As [`Filter::matches`], but tells false from unknown, which is `None`.
    ///
    /// # Errors
    /// As [`Filter::matches`].
    pub fn truth(&self, row: &[Datum<'_>]) -> Result<Option<bool>, RowError> {
        self.0.predicate.test(row)
    }

    /// The same condition in SQL, with its values bound.
    pub fn to_sql(&self) -> Sql {
        render::sql(&self.0.predicate)
    }

    /// The same text for equal filters, in any process: it feeds a shape's fingerprint.
    pub fn canonical(&self) -> &str {
        &self.0.canonical
    }

    /// What is true where both are.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self::new(Predicate::and(vec![self.0.predicate.clone(), other.0.predicate.clone()]))
    }

    /// What is true where any of `filters` is: nowhere, if there are none.
    #[must_use]
    pub fn any(filters: &[Self]) -> Self {
        Self::new(Predicate::or(filters.iter().map(|filter| filter.0.predicate.clone()).collect()))
    }

    /// Whether it is true of every row, whatever it holds.
    pub fn is_always_true(&self) -> bool {
        matches!(self.0.predicate, Predicate::Constant(Some(true)))
    }

    /// The values that it holds a column to, as texts: no other row matches. `None` if it says nothing of the kind.
    pub fn values_of(&self, column: usize) -> Option<Vec<&str>> {
        index::values_of(&self.0.predicate, column)
    }

    fn predicate(&self) -> &Predicate {
        &self.0.predicate
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }
}

impl Eq for Filter {}

impl Hash for Filter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical().hash(state);
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.canonical())
    }
}

#[cfg(test)]
mod tests;
