use std::borrow::Cow;
use std::sync::Arc;

use super::array::{self, Part, Token};
use super::error::RowError;
use super::json::{Json, Step};
use super::like::Pattern;
use super::scale::{Scale, Unread};
use super::syntax::Comparison;
use super::value::{Key, Value};
use crate::event::Datum;

/// A filter, bound to a table: what is evaluated on rows, rendered to SQL and looked at by the index.
#[derive(Clone, Debug)]
pub(super) enum Predicate {
    /// `None` is SQL's unknown.
    Constant(Option<bool>),
    And(Box<[Predicate]>),
    Or(Box<[Predicate]>),
    Not(Box<Predicate>),
    /// `is true`, `is false`, `is unknown`
    Truth(Box<Predicate>, Option<bool>),
    /// `is null`
    Null(Operand),
    Order(Order),
    In(In),
    Like(Operand, Pattern),
    Json(Operand, JsonTest),
    Array(ArrayTest),
}

/// `operand < constant` and its kin.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) operand: Operand,
    pub(super) scale: Scale,
    pub(super) comparison: Comparison,
    pub(super) constant: Constant,
    pub(super) sql_type: SqlType,
}

/// `operand = any (constants)`; equality is this with one constant.
#[derive(Clone, Debug)]
pub(super) struct In {
    pub(super) operand: Operand,
    pub(super) scale: Scale,
    /// Ascending, each once. None at all: false of every value, unknown of NULL.
    pub(super) constants: Box<[Constant]>,
    /// Whether NULL is among the constants.
    pub(super) null: bool,
    pub(super) sql_type: SqlType,
}

/// What a predicate reads of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Operand {
    /// Index into the table's columns.
    pub(super) column: usize,
    pub(super) name: Arc<str>,
    /// `-> step -> step`
    pub(super) path: Box<[Step]>,
    /// Whether the last step is `->>`.
    pub(super) text: bool,
    /// `column::text`, where a value's text is what the cast gives.
    pub(super) cast: bool,
}

/// A literal in its final form.
#[derive(Clone, Debug)]
pub(super) struct Constant {
    pub(super) key: Key,
    /// Its text, for SQL.
    pub(super) text: Box<str>,
}

/// How SQL writes a constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SqlType {
    /// A type of `pg_catalog`.
    Builtin(Arc<str>),
    /// A user's enum: compared as text, since its schema is not known here.
    Label,
}

#[derive(Clone, Debug)]
pub(super) enum JsonTest {
    Equals(Document),
    /// `operand @> document`
    Contains(Document),
    /// `operand <@ document`
    Within(Document),
    /// `operand ? key`; once plain, once as JSON writes it.
    HasKey(Box<str>, Box<[u8]>),
}

/// A `jsonb` constant, in PostgreSQL's own text.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) text: Box<str>,
    /// How many values it holds.
    pub(super) values: usize,
}

#[derive(Clone, Debug)]
pub(super) struct ArrayTest {
    pub(super) operand: Operand,
    pub(super) scale: Scale,
    pub(super) relation: ArrayRelation,
    /// Of the elements.
    pub(super) sql_type: SqlType,
}

#[derive(Clone, Debug)]
pub(super) enum ArrayRelation {
    /// `constant = any (operand)`
    Holds(Constant),
    /// `operand = parts`
    Equals(Box<[Part]>, Box<[Option<Key>]>),
    /// `operand @> elements`
    Contains(Elements),
    /// `operand <@ elements`
    Within(Elements),
    /// `operand && elements`
    Overlaps(Elements),
}

/// An array constant of which only the elements count.
#[derive(Clone, Debug)]
pub(super) struct Elements {
    /// Ascending, each once.
    pub(super) constants: Box<[Constant]>,
    pub(super) null: bool,
}

/// Comparing two documents takes, at worst, the length of the row's times the values of the filter's; this many steps
/// are a tenth of a second.
const STEPS: usize = 1 << 26;

type Truth = Result<Option<bool>, RowError>;

impl Predicate {
    /// TRUE, FALSE or, as `None`, unknown.
    pub(super) fn test(&self, row: &[Datum<'_>]) -> Truth {
        match self {
            Self::Constant(truth) => Ok(*truth),
            Self::And(parts) => connect(parts, row, false),
            Self::Or(parts) => connect(parts, row, true),
            Self::Not(part) => part.test(row).map(|truth| truth.map(|truth| !truth)),
            Self::Truth(part, wanted) => part.test(row).map(|truth| Some(truth == *wanted)),
            Self::Null(operand) => operand.is_null(row).map(Some),
            Self::Order(order) => order.operand.with(row, |text| {
                let value = order.operand.read(&order.scale, text)?;
                Ok(Some(order.comparison.holds(value.cmp(&order.constant.key.as_value()))))
            }),
            Self::In(list) => list.operand.with(row, |text| {
                let value = list.operand.read(&list.scale, text)?;
                Ok(if position(&list.constants, value).is_some() {
                    Some(true)
                } else if list.null {
                    None
                } else {
                    Some(false)
                })
            }),
            Self::Like(operand, pattern) => {
                operand.with(row, |text| pattern.matches(text, &operand.name).map(Some))
            }
            Self::Json(operand, test) => {
                operand.with(row, |text| test.holds(Json::new(text), operand).map(Some))
            }
            Self::Array(test) => test.operand.with(row, |text| test.holds(text)),
        }
    }

    /// Calls `visit` with every operand.
    pub(super) fn operands(&self, visit: &mut impl FnMut(&Operand)) {
        match self {
            Self::Constant(_) => {}
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.operands(visit)),
            Self::Not(part) | Self::Truth(part, _) => part.operands(visit),
            Self::Null(operand) | Self::Like(operand, _) | Self::Json(operand, _) => visit(operand),
            Self::Order(order) => visit(&order.operand),
            Self::In(list) => visit(&list.operand),
            Self::Array(test) => visit(&test.operand),
        }
    }
}

/// `and`, or with `decisive` true `or`: one decisive part decides, even beside one that cannot be told.
fn connect(parts: &[Predicate], row: &[Datum<'_>], decisive: bool) -> Truth {
    let mut unknown = false;
    let mut failed = None;
    for part in parts {
        match part.test(row) {
            Ok(Some(truth)) if truth == decisive => return Ok(Some(decisive)),
            Ok(Some(_)) => {}
            Ok(None) => unknown = true,
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match failed {
        Some(error) => Err(error),
        None if unknown => Ok(None),
        None => Ok(Some(!decisive)),
    }
}

/// Where `value` is among `constants`.
fn position(constants: &[Constant], value: Value<'_>) -> Option<usize> {
    if let [only] = constants {
        return (only.key.as_value() == value).then_some(0);
    }
    constants.binary_search_by(|constant| constant.key.as_value().cmp(&value)).ok()
}

impl Operand {
    fn datum<'a>(&self, row: &[Datum<'a>]) -> Datum<'a> {
        row.get(self.column).copied().unwrap_or(Datum::Untold)
    }

    /// The operand's text; `None` for NULL.
    fn text<'a>(&self, row: &[Datum<'a>]) -> Result<Option<Cow<'a, [u8]>>, RowError> {
        let text = match self.datum(row) {
            Datum::Null => return Ok(None),
            Datum::Unchanged | Datum::Untold => {
                return Err(RowError::Missing { column: Arc::clone(&self.name) });
            }
            Datum::Text(text) => text,
        };
        if self.path.is_empty() {
            return Ok(Some(Cow::Borrowed(text)));
        }
        let mut json = Json::new(text);
        for step in &self.path {
            match json.step(step).map_err(|_| self.unreadable())? {
                Some(inner) => json = inner,
                None => return Ok(None),
            }
        }
        Ok(if self.text { json.as_text() } else { Some(Cow::Borrowed(json.text())) })
    }

    fn with(&self, row: &[Datum<'_>], test: impl FnOnce(&[u8]) -> Truth) -> Truth {
        self.text(row)?.map_or(Ok(None), |text| test(&text))
    }

    fn is_null(&self, row: &[Datum<'_>]) -> Result<bool, RowError> {
        // A value too large to be repeated is a value.
        if self.path.is_empty() && self.datum(row) == Datum::Unchanged {
            return Ok(false);
        }
        self.text(row).map(|text| text.is_none())
    }

    fn unreadable(&self) -> RowError {
        RowError::Unreadable { column: Arc::clone(&self.name) }
    }

    fn read<'a>(&self, scale: &Scale, text: &'a [u8]) -> Result<Value<'a>, RowError> {
        scale.read(text).map_err(|unread| match unread {
            Unread::Malformed => self.unreadable(),
            Unread::UnknownLabel => RowError::UnknownLabel { column: Arc::clone(&self.name) },
        })
    }
}

impl Document {
    fn json(&self) -> Json<'_> {
        Json::new(self.text.as_bytes())
    }
}

impl JsonTest {
    fn holds(&self, json: Json<'_>, operand: &Operand) -> Result<bool, RowError> {
        if let Self::Contains(document) | Self::Within(document) = self
            && json.len().saturating_mul(document.values) > STEPS
        {
            return Err(RowError::TooCostly { column: Arc::clone(&operand.name) });
        }
        match self {
            Self::Equals(document) => json.equals(document.json()),
            Self::Contains(document) => json.contains(document.json()),
            Self::Within(document) => document.json().contains(json),
            Self::HasKey(_, key) => json.has_key(key),
        }
        .map_err(|_| operand.unreadable())
    }
}

impl ArrayTest {
    fn holds(&self, text: &[u8]) -> Truth {
        match &self.relation {
            ArrayRelation::Holds(constant) => self.any_is(text, constant),
            ArrayRelation::Equals(parts, keys) => self.equals(text, parts, keys).map(Some),
            ArrayRelation::Contains(elements) => self.contains(text, elements).map(Some),
            ArrayRelation::Within(elements) => self
                .walk(text, |value| value.is_none_or(|value| position(&elements.constants, value).is_none()))
                .map(|stray| Some(!stray)),
            ArrayRelation::Overlaps(elements) => self
                .walk(text, |value| value.is_some_and(|value| position(&elements.constants, value).is_some()))
                .map(Some),
        }
    }

    /// Whether `found` says so of any element; NULL is `None`.
    fn walk(&self, text: &[u8], mut found: impl FnMut(Option<Value<'_>>) -> bool) -> Result<bool, RowError> {
        let mut tokens = array::Tokens::new(text);
        let mut scratch = Vec::new();
        while let Some(token) = tokens.next(&mut scratch).map_err(|_| self.operand.unreadable())? {
            let value = match token {
                Token::Open | Token::Close => continue,
                Token::Null => None,
                Token::Element(text) => Some(self.operand.read(&self.scale, text)?),
            };
            if found(value) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn any_is(&self, text: &[u8], constant: &Constant) -> Truth {
        let mut null = false;
        let found = self.walk(text, |value| {
            null |= value.is_none();
            value == Some(constant.key.as_value())
        })?;
        Ok(if found { Some(true) } else { (!null).then_some(false) })
    }

    fn contains(&self, text: &[u8], elements: &Elements) -> Result<bool, RowError> {
        let wanted = elements.constants.len();
        if elements.null {
            return Ok(false);
        }
        let mut few = 0_u64;
        let mut many = vec![false; if wanted > 64 { wanted } else { 0 }];
        let mut missing = wanted;
        let all = self.walk(text, |value| {
            let Some(at) = value.and_then(|value| position(&elements.constants, value)) else {
                return false;
            };
            let seen = if let Some(seen) = many.get_mut(at) {
                std::mem::replace(seen, true)
            } else {
                let seen = few >> at & 1 == 1;
                few |= 1 << at;
                seen
            };
            missing -= usize::from(!seen);
            missing == 0
        })?;
        Ok(all || wanted == 0)
    }

    /// Element by element, dimensions and bounds included; NULLs are equal to each other here.
    fn equals(&self, text: &[u8], parts: &[Part], keys: &[Option<Key>]) -> Result<bool, RowError> {
        let mut tokens = array::Tokens::new(text);
        // A constant's bounds all start at 1, and an array whose bounds do is written without them.
        if !tokens.bounds().is_empty() {
            return Ok(false);
        }
        let mut scratch = Vec::new();
        for (part, key) in parts.iter().zip(keys) {
            let token = tokens.next(&mut scratch).map_err(|_| self.operand.unreadable())?;
            let same = match (part, token) {
                (Part::Open, Some(Token::Open))
                | (Part::Close, Some(Token::Close))
                | (Part::Null, Some(Token::Null)) => true,
                (Part::Element(_), Some(Token::Element(text))) => {
                    let value = self.operand.read(&self.scale, text)?;
                    key.as_ref().is_some_and(|key| key.as_value() == value)
                }
                _ => false,
            };
            if !same {
                return Ok(false);
            }
        }
        tokens.next(&mut scratch).map(|rest| rest.is_none()).map_err(|_| self.operand.unreadable())
    }
}
