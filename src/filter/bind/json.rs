//! Paths into `jsonb`, and its own operators.

use super::{Binder, Side, Typed, text_literal};
use crate::event::{Class, Collation, Kind};
use crate::filter::error::Error;
use crate::filter::json::{self, Json, Step};
use crate::filter::predicate::{Document, JsonTest, Predicate};
use crate::filter::syntax::{Expr, Literal, Node};

/// Steps of one path.
const STEPS: usize = 16;

/// Values within one `jsonb` constant, each of which is looked for in the row's.
const VALUES: usize = 1_000;

/// Nesting of a `jsonb` constant, which is followed by recursion.
const DEPTH: usize = 64;

impl Binder<'_> {
    /// `base -> key`, `base ->> key`
    pub(super) fn field(&mut self, base: &Expr, key: &Expr, text: bool) -> Result<Typed, Error> {
        let mut typed = self.operand(base)?;
        if typed.kind.class != Class::Jsonb {
            let hint = if typed.kind.class == Class::Json { ": make the column jsonb" } else { "" };
            let message = format!("`->` is supported on jsonb, not on type {}{hint}", typed.kind.name);
            return Err(Error::unsupported(base.position, message));
        }
        let mut path = std::mem::take(&mut typed.operand.path).into_vec();
        if path.len() == STEPS {
            return Err(Error::unsupported(key.position, format!("a path of more than {STEPS} steps")));
        }
        path.push(step(key)?);
        typed.operand.path = path.into();
        typed.operand.text = text;
        if text {
            typed.kind = Kind { oid: 25, name: "text".into(), class: Class::Text };
            // That of the database, which is deterministic and otherwise unknown.
            typed.collation = Collation::Deterministic;
        }
        Ok(typed)
    }

    pub(super) fn json_equals(
        &mut self,
        typed: &Typed,
        literal: &Literal,
        position: usize,
    ) -> Result<Predicate, Error> {
        let document = self.document(literal, position)?;
        Ok(document.map_or(Predicate::Constant(None), |document| {
            Predicate::Json(typed.operand.clone(), JsonTest::Equals(document))
        }))
    }

    /// `whole @> part`, on documents or arrays.
    pub(super) fn contains(
        &mut self,
        whole: &Expr,
        part: &Expr,
        position: usize,
    ) -> Result<Predicate, Error> {
        let (typed, literal, at, within) = match (self.side(whole)?, self.side(part)?) {
            (Side::Operand(typed), Side::Literal(literal)) => (typed, literal, part.position, false),
            (Side::Literal(literal), Side::Operand(typed)) => (typed, literal, whole.position, true),
            _ => {
                return Err(Error::unsupported(
                    position,
                    "`@>` between anything but a column and a literal or a parameter",
                ));
            }
        };
        match &typed.kind.class {
            Class::Jsonb => Ok(match self.document(literal, at)? {
                None => Predicate::Constant(None),
                Some(document) if within => Predicate::Json(typed.operand, JsonTest::Within(document)),
                Some(document) => Predicate::Json(typed.operand, JsonTest::Contains(document)),
            }),
            Class::Array { element, .. } => self.array_contains(&typed, element, literal, within, at),
            _ => Err(Error::unsupported(
                position,
                format!("`@>` is supported on jsonb and on arrays, not on type {}", typed.kind.name),
            )),
        }
    }

    /// `document ? key`
    pub(super) fn exists(&mut self, document: &Expr, key: &Expr) -> Result<Predicate, Error> {
        let typed = self.operand(document)?;
        if typed.kind.class != Class::Jsonb {
            let message = format!("`?` is supported on jsonb, not on type {}", typed.kind.name);
            return Err(Error::unsupported(document.position, message));
        }
        Ok(text_literal(key)?.map_or(Predicate::Constant(None), |key| {
            Predicate::Json(typed.operand, JsonTest::HasKey(key.into(), json::escape(key)))
        }))
    }

    /// A `jsonb` literal, in PostgreSQL's text; `None` for NULL, and while PostgreSQL has yet to be asked.
    fn document(&mut self, literal: &Literal, position: usize) -> Result<Option<Document>, Error> {
        let text = match literal {
            Literal::Null => return Ok(None),
            Literal::Text(text) => text,
            Literal::Cast(inner, name) if name.builtin() == Some(3802) && !name.array => {
                return self.document(inner, position);
            }
            _ => return Err(Error::mistyped(position, "a jsonb value is written as a text: '{\"key\": 1}'")),
        };
        let kind = Kind { oid: 3802, name: "jsonb".into(), class: Class::Jsonb };
        let Some(text) = self.canonical(text, &kind, position)? else { return Ok(None) };
        let measured = Json::new(text.as_bytes()).measure();
        let Ok((values, depth)) = measured else {
            return Err(Error::mistyped(position, "not a jsonb value"));
        };
        if values > VALUES || depth > DEPTH {
            let message =
                format!("a jsonb value of more than {VALUES} values, or nested more than {DEPTH} deep");
            return Err(Error::unsupported(position, message));
        }
        Ok(Some(Document { text: text.into(), values }))
    }
}

fn step(key: &Expr) -> Result<Step, Error> {
    match &key.node {
        Node::Literal(Literal::Number(digits)) => digits.parse().map(Step::Index).map_err(|_| {
            Error::mistyped(key.position, format!("`{digits}` is no place in an array: an integer is wanted"))
        }),
        _ => match text_literal(key)? {
            Some(text) => Ok(Step::Key(json::escape(text))),
            None => Err(Error::unsupported(key.position, "NULL as a key")),
        },
    }
}
