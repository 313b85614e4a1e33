//! From an [`Expr`] to a [`Predicate`]: names become columns, literals become values of the type that PostgreSQL
//! would give them.
//!
//! ```text
//!  Expr ──▶ Binder ──▶ Predicate
//!             │  ▲
//!    literals ▼  │ answers        what only PostgreSQL can read goes out once and comes back canonical
//! ```
//!
//! A pass without answers collects the literals; the same pass over the same tree then finds its answers in the same
//! order.

mod array;
mod compare;
mod json;
mod scalar;

use super::error::{Error, ErrorKind};
use super::literal::{self, Canonical};
use super::predicate::{Operand, Predicate};
use super::syntax::{Expr, Like, Literal, Name, Node};
use super::{Literal as Unresolved, like::Pattern};
use crate::event::{Class, Collation, Column, Kind, Table};

/// As many list items, over all lists, as a filter may have: the price of one more filter in memory.
const ITEMS: usize = 10_000;

/// `NAMEDATALEN` less one.
const NAME_BYTES: usize = 63;

pub(super) struct Binder<'a> {
    table: &'a Table,
    answers: Option<&'a [String]>,
    literals: Vec<Unresolved>,
    items: usize,
}

/// An operand and what is known of its type.
struct Typed {
    operand: Operand,
    kind: Kind,
    collation: Collation,
}

/// One side of a comparison.
enum Side<'a> {
    Operand(Box<Typed>),
    Literal(&'a Literal),
    /// A condition, which compares with nothing here.
    Condition,
}

/// Binds `expr` to `table`; returns the literals that PostgreSQL must read, and a predicate that is complete only if
/// there are none, or `answers` has one for each.
pub(super) fn bind(
    expr: &Expr,
    table: &Table,
    answers: Option<&[String]>,
) -> Result<(Predicate, Vec<Unresolved>), Error> {
    let mut binder = Binder { table, answers, literals: Vec::new(), items: 0 };
    let predicate = binder.condition(expr)?;
    Ok((predicate, binder.literals))
}

impl Binder<'_> {
    /// `expr` where a boolean is wanted.
    fn condition(&mut self, expr: &Expr) -> Result<Predicate, Error> {
        let position = expr.position;
        match &expr.node {
            Node::Column(_) | Node::Field { .. } | Node::AsText(_) => {
                let typed = self.operand(expr)?;
                if typed.kind.class != Class::Bool {
                    let message =
                        format!("a condition is wanted here, not a value of type {}", typed.kind.name);
                    return Err(Error::mistyped(position, message));
                }
                self.equals(&typed, &Literal::Bool(true), position)
            }
            Node::Literal(literal) => self.constant_condition(literal, position),
            Node::Not(inner) => self.condition(inner).map(Predicate::negate),
            Node::And(parts) => self.conditions(parts).map(Predicate::and),
            Node::Or(parts) => self.conditions(parts).map(Predicate::or),
            Node::Truth(inner, wanted) => {
                self.condition(inner).map(|condition| Predicate::truth(condition, *wanted))
            }
            Node::Null(inner) => self.null(inner),
            Node::Compare(left, comparison, right) => self.compare(left, *comparison, right, position),
            Node::Distinct(left, right) => self.distinct(left, right, position),
            Node::In(subject, items) => self.one_of(subject, items, position),
            Node::Any(left, right) => self.any(left, right, position),
            Node::Like(like) => self.like(like),
            Node::Contains(whole, part) => self.contains(whole, part, position),
            Node::Overlaps(left, right) => self.overlaps(left, right, position),
            Node::Exists(document, key) => self.exists(document, key),
        }
    }

    fn conditions(&mut self, parts: &[Expr]) -> Result<Vec<Predicate>, Error> {
        parts.iter().map(|part| self.condition(part)).collect()
    }

    fn side<'e>(&mut self, expr: &'e Expr) -> Result<Side<'e>, Error> {
        match &expr.node {
            Node::Column(_) | Node::Field { .. } | Node::AsText(_) => {
                Ok(Side::Operand(Box::new(self.operand(expr)?)))
            }
            Node::Literal(literal) => Ok(Side::Literal(literal)),
            _ => Ok(Side::Condition),
        }
    }

    fn operand(&mut self, expr: &Expr) -> Result<Typed, Error> {
        match &expr.node {
            Node::Column(name) => self.column(name, expr.position),
            Node::Field { base, key, text } => self.field(base, key, *text),
            Node::AsText(inner) => self.as_text(inner),
            _ => Err(Error::unsupported(expr.position, "only a column, or a path into one, can stand here")),
        }
    }

    fn column(&mut self, name: &Name, position: usize) -> Result<Typed, Error> {
        let table = self.table;
        let qualified = match name.qualifier.as_slice() {
            [] => true,
            [relation] => **relation == *table.name.name,
            [schema, relation] => **schema == *table.name.schema && **relation == *table.name.name,
            _ => false,
        };
        if !qualified {
            let message = format!(
                "`{}` is not the table of this filter, {}: a filter reads no other",
                name.qualifier.join("."),
                table.name
            );
            return Err(Error::new(ErrorKind::UnknownColumn, Some(position), message));
        }
        let Some(index) = table.column(&name.column) else {
            return Err(unknown_column(table, &name.column, position));
        };
        let Column { name, kind, collation, .. } = &table.columns[index];
        Ok(Typed {
            operand: Operand {
                column: index,
                name: name.clone(),
                path: Box::default(),
                text: false,
                cast: false,
            },
            kind: kind.clone(),
            collation: *collation,
        })
    }

    /// `column::text`
    fn as_text(&mut self, inner: &Expr) -> Result<Typed, Error> {
        let typed = self.operand(inner)?;
        let text = Kind { oid: 25, name: "text".into(), class: Class::Text };
        match typed.kind.class {
            Class::Text => Ok(Typed { kind: text, ..typed }),
            // The cast gives what the output function writes.
            Class::Int2 | Class::Int4 | Class::Int8 | Class::Uuid | Class::Enum(_)
                if typed.operand.path.is_empty() =>
            {
                let operand = Operand { cast: true, ..typed.operand };
                Ok(Typed { operand, kind: text, collation: Collation::Deterministic })
            }
            _ => {
                let message = format!(
                    "`{}` is of type {}, whose text cannot be compared here",
                    typed.operand.name, typed.kind.name
                );
                Err(Error::unsupported(inner.position, message))
            }
        }
    }

    /// `is null`
    fn null(&mut self, inner: &Expr) -> Result<Predicate, Error> {
        Ok(match self.side(inner)? {
            Side::Operand(typed) => Predicate::Null(typed.operand),
            Side::Literal(literal) => Predicate::Constant(Some(is_null(literal))),
            Side::Condition => Predicate::truth(self.condition(inner)?, None),
        })
    }

    fn constant_condition(&mut self, literal: &Literal, position: usize) -> Result<Predicate, Error> {
        let boolean = Kind { oid: 16, name: "bool".into(), class: Class::Bool };
        let text = match literal {
            Literal::Null => return Ok(Predicate::Constant(None)),
            Literal::Bool(value) => return Ok(Predicate::Constant(Some(*value))),
            Literal::Text(text) => text,
            Literal::Cast(inner, name) if name.builtin() == Some(16) && !name.array => {
                return self.constant_condition(inner, position);
            }
            _ => return Err(Error::mistyped(position, "a condition is wanted here, not a value")),
        };
        let truth = self.canonical(text, &boolean, position)?;
        Ok(Predicate::Constant(truth.map(|text| text == "t")))
    }

    /// The canonical text of a literal; `None` while PostgreSQL has yet to be asked for it.
    fn canonical(&mut self, text: &str, kind: &Kind, position: usize) -> Result<Option<String>, Error> {
        match literal::canonical(text, kind) {
            Canonical::Known(text) => Ok(Some(text)),
            Canonical::Invalid(reason) => Err(Error::mistyped(position, reason)),
            Canonical::Ask => {
                let index = self.literals.len();
                self.literals.push(Unresolved { text: text.to_owned(), kind: kind.clone(), position });
                Ok(self.answers.and_then(|answers| answers.get(index).cloned()))
            }
        }
    }

    fn count(&mut self, items: usize, position: usize) -> Result<(), Error> {
        self.items += items;
        if self.items > ITEMS {
            return Err(Error::unsupported(
                position,
                format!("more than {ITEMS} values in the lists of one filter"),
            ));
        }
        Ok(())
    }

    fn like(&mut self, like: &Like) -> Result<Predicate, Error> {
        let position = like.subject.position;
        let Side::Operand(typed) = self.side(&like.subject)? else {
            return Err(Error::unsupported(position, "`like` is supported on columns only"));
        };
        if !matches!(typed.kind.class, Class::Text | Class::Bpchar) {
            let message =
                format!("`like` is for texts, and `{}` is of type {}", typed.operand.name, typed.kind.name);
            return Err(Error::mistyped(position, message));
        }
        typed.check_equality(position)?;
        if like.any_case && typed.collation != Collation::Bytes {
            return Err(Error::unsupported(
                position,
                format!(
                    "`ilike` on `{}`: which letters are the same in either case is up to its collation; only `C` and \
                     `POSIX` can be reproduced here",
                    typed.operand.name
                ),
            ));
        }
        let Some(pattern) = text_literal(&like.pattern)? else { return Ok(Predicate::Constant(None)) };
        let escape = match &like.escape {
            None => Some('\\'),
            Some(escape) => {
                let Some(text) = text_literal(escape)? else { return Ok(Predicate::Constant(None)) };
                let mut characters = text.chars();
                match (characters.next(), characters.next()) {
                    (first, None) => first,
                    _ => return Err(Error::mistyped(escape.position, "an escape is one character, or none")),
                }
            }
        };
        let pattern = Pattern::parse(pattern, escape, like.any_case).ok_or_else(|| {
            Error::mistyped(like.pattern.position, "the pattern ends in its escape character")
        })?;
        Ok(Predicate::Like(typed.operand, pattern))
    }
}

/// A literal where only a text can stand; `None` for NULL.
fn text_literal(expr: &Expr) -> Result<Option<&str>, Error> {
    let Node::Literal(literal) = &expr.node else {
        return Err(Error::unsupported(expr.position, "only a literal or a parameter can stand here"));
    };
    match literal {
        Literal::Text(text) if text.contains('\0') => {
            Err(Error::mistyped(expr.position, "a text cannot hold the character U+0000"))
        }
        Literal::Text(text) => Ok(Some(text)),
        Literal::Cast(inner, name) if matches!(name.builtin(), Some(25 | 1043)) && !name.array => {
            match &**inner {
                Literal::Text(text) => Ok(Some(text)),
                Literal::Null => Ok(None),
                _ => Err(Error::mistyped(expr.position, "a text is wanted here")),
            }
        }
        Literal::Null => Ok(None),
        _ => Err(Error::mistyped(expr.position, "a text is wanted here")),
    }
}

/// NULL, cast to whatever.
fn is_null(literal: &Literal) -> bool {
    match literal {
        Literal::Null => true,
        Literal::Cast(inner, _) => is_null(inner),
        _ => false,
    }
}

/// Names no column; says which one may be meant.
pub(super) fn unknown_column(table: &Table, name: &str, position: usize) -> Error {
    if name.len() > NAME_BYTES {
        let message = format!("a name of {} bytes: PostgreSQL's have at most {NAME_BYTES}", name.len());
        return Error::new(ErrorKind::UnknownColumn, Some(position), message);
    }
    let likeness = |column: &&Column| strsim::normalized_damerau_levenshtein(&column.name, name);
    let nearest = table
        .columns
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
        .filter(|column| likeness(column) >= 0.5);
    let hint = match nearest {
        Some(column) if column.name.eq_ignore_ascii_case(name) => {
            format!("; write `{}`, in quotes, for the one that it has", super::render::quote(&column.name))
        }
        Some(column) => format!("; did you mean `{}`?", column.name),
        None => String::new(),
    };
    let message = format!("table {} has no column `{name}`{hint}", table.name);
    Error::new(ErrorKind::UnknownColumn, Some(position), message)
}

impl Typed {
    fn is_text(&self) -> bool {
        matches!(self.kind.class, Class::Text | Class::Bpchar)
    }

    /// Whether equal means equal bytes.
    fn check_equality(&self, position: usize) -> Result<(), Error> {
        if self.collation == Collation::Nondeterministic {
            let message = format!(
                "`{}` has a nondeterministic collation: which texts are equal cannot be reproduced here",
                self.operand.name
            );
            return Err(Error::unsupported(position, message));
        }
        Ok(())
    }

    /// Whether the order is that of the bytes, if it is a text at all.
    fn check_order(&self, position: usize) -> Result<(), Error> {
        if self.is_text() && self.collation != Collation::Bytes {
            let message = format!(
                "`{}` is ordered by a collation that cannot be reproduced here: only `C` and `POSIX` can; compare it \
                 for equality",
                self.operand.name
            );
            return Err(Error::unsupported(position, message));
        }
        Ok(())
    }
}
