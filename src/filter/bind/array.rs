//! Array columns, and arrays of literals.

use std::borrow::Cow;

use super::scalar::{Numbers, Scalar, is_enum};
use super::{Binder, Side, Typed, is_null};
use crate::event::{Class, Kind};
use crate::filter::array::{self, Part};
use crate::filter::error::Error;
use crate::filter::predicate::{ArrayRelation, ArrayTest, Constant, Elements, Predicate, SqlType};
use crate::filter::scale::Scale;
use crate::filter::syntax::{Expr, Literal, TypeName};

/// `pg_type.oid` of `name`.
const NAME: u32 = 19;

/// An array constant: its parts, and beside each the element's value.
struct Parts {
    parts: Vec<Part>,
    constants: Vec<Option<Constant>>,
}

impl Binder<'_> {
    /// `left = any (right)`
    pub(super) fn any(&mut self, left: &Expr, right: &Expr, position: usize) -> Result<Predicate, Error> {
        match (self.side(left)?, self.side(right)?) {
            (Side::Operand(typed), Side::Literal(literal)) => self.any_of(&typed, literal, right.position),
            (Side::Literal(literal), Side::Operand(typed)) => {
                let Class::Array { element, .. } = &typed.kind.class else {
                    let message = format!(
                        "`any` wants an array, and `{}` is of type {}",
                        typed.operand.name, typed.kind.name
                    );
                    return Err(Error::mistyped(right.position, message));
                };
                let scale = typed.element_scale(element, right.position)?;
                Ok(match self.scalar(literal, element, &scale, Numbers::Double, left.position)? {
                    Scalar::Constant(constant) => {
                        Predicate::Array(typed.array_test(element, scale, ArrayRelation::Holds(constant)))
                    }
                    Scalar::Null | Scalar::Pending => Predicate::Constant(None),
                    Scalar::Beyond(_) => {
                        let message = "a number that is no 64-bit integer beside an array of integers";
                        return Err(Error::unsupported(left.position, message));
                    }
                })
            }
            _ => Err(Error::unsupported(
                position,
                "`= any` between anything but a column and a literal or a parameter",
            )),
        }
    }

    /// `typed = any (literal)`
    fn any_of(&mut self, typed: &Typed, literal: &Literal, position: usize) -> Result<Predicate, Error> {
        if is_null(literal) {
            typed.equality_scale(position)?;
            return Ok(Predicate::Constant(None));
        }
        let literals = array_literals(literal, &typed.kind, position)?;
        self.count(literals.len(), position)?;
        if literals.is_empty() {
            typed.equality_scale(position)?;
            return Ok(Predicate::Constant(Some(false)));
        }
        self.list(typed, &literals, Numbers::Double, position)
    }

    pub(super) fn array_equals(
        &mut self,
        typed: &Typed,
        element: &Kind,
        literal: &Literal,
        position: usize,
    ) -> Result<Predicate, Error> {
        let scale = typed.element_scale(element, position)?;
        let Some(Parts { parts, constants }) = self.parts(literal, element, &scale, position)? else {
            return Ok(Predicate::Constant(None));
        };
        let keys = constants.into_iter().map(|constant| constant.map(|constant| constant.key)).collect();
        let relation = ArrayRelation::Equals(parts.into(), keys);
        Ok(Predicate::Array(typed.array_test(element, scale, relation)))
    }

    /// `typed @> literal`, or with `within` `typed <@ literal`.
    pub(super) fn array_contains(
        &mut self,
        typed: &Typed,
        element: &Kind,
        literal: &Literal,
        within: bool,
        position: usize,
    ) -> Result<Predicate, Error> {
        let relation = if within { ArrayRelation::Within } else { ArrayRelation::Contains };
        self.related(typed, element, literal, relation, position)
    }

    /// `left && right`
    pub(super) fn overlaps(
        &mut self,
        left: &Expr,
        right: &Expr,
        position: usize,
    ) -> Result<Predicate, Error> {
        let (typed, literal, at) = match (self.side(left)?, self.side(right)?) {
            (Side::Operand(typed), Side::Literal(literal)) => (typed, literal, right.position),
            (Side::Literal(literal), Side::Operand(typed)) => (typed, literal, left.position),
            _ => {
                return Err(Error::unsupported(
                    position,
                    "`&&` between anything but a column and a literal or a parameter",
                ));
            }
        };
        let Class::Array { element, .. } = &typed.kind.class else {
            let message = format!("`&&` is supported on arrays, not on type {}", typed.kind.name);
            return Err(Error::unsupported(position, message));
        };
        self.related(&typed, element, literal, ArrayRelation::Overlaps, at)
    }

    fn related(
        &mut self,
        typed: &Typed,
        element: &Kind,
        literal: &Literal,
        relation: impl FnOnce(Elements) -> ArrayRelation,
        position: usize,
    ) -> Result<Predicate, Error> {
        let scale = typed.element_scale(element, position)?;
        let Some(Parts { parts, constants }) = self.parts(literal, element, &scale, position)? else {
            return Ok(Predicate::Constant(None));
        };
        let mut constants: Vec<Constant> = constants.into_iter().flatten().collect();
        constants.sort_by(|a, b| a.key.cmp(&b.key));
        constants.dedup_by(|a, b| a.key == b.key);
        let elements = Elements { constants: constants.into(), null: parts.contains(&Part::Null) };
        Ok(Predicate::Array(typed.array_test(element, scale, relation(elements))))
    }

    /// An array literal beside an array of `element`; `None` for NULL, and while PostgreSQL has yet to be asked.
    fn parts(
        &mut self,
        literal: &Literal,
        element: &Kind,
        scale: &Scale,
        position: usize,
    ) -> Result<Option<Parts>, Error> {
        let other_type = |given: &str| {
            let message = format!(
                "an array of {given} beside an array of {0}: PostgreSQL compares only arrays of one type; write '{{…}}', or \
                 cast to {0}[]",
                element.name
            );
            Error::mistyped(position, message)
        };
        let literals: Vec<LiteralPart<'_>> = match literal {
            Literal::Null => return Ok(None),
            Literal::Text(text) => read(text, position)?,
            Literal::List(items) => flat(items),
            Literal::Array(items) => {
                let (oid, name) = array_type(items).ok_or_else(|| {
                    Error::unsupported(position, "an array of mixed types: write '{…}', or cast the array")
                })?;
                if oid != element.oid {
                    return Err(other_type(name));
                }
                flat(items)
            }
            Literal::Cast(inner, name) => {
                let same = name.builtin() == Some(element.oid) || is_enum(element, name);
                if !name.array || !same {
                    return Err(other_type(&name.name));
                }
                match &**inner {
                    Literal::Array(items) | Literal::List(items) => flat(items),
                    other => return self.parts(other, element, scale, position),
                }
            }
            Literal::Number(_) | Literal::Bool(_) => {
                return Err(Error::mistyped(
                    position,
                    "an array is wanted here: '{…}', `array[…]`, or a parameter",
                ));
            }
        };
        self.count(literals.len(), position)?;
        let mut built = Parts { parts: Vec::new(), constants: Vec::new() };
        let mut pending = false;
        for part in literals {
            let (part, constant) = match part {
                LiteralPart::Open => (Part::Open, None),
                LiteralPart::Close => (Part::Close, None),
                LiteralPart::Element(item) => {
                    match self.scalar(&item, element, scale, Numbers::Single, position)? {
                        Scalar::Null => (Part::Null, None),
                        Scalar::Constant(constant) => {
                            (Part::Element(constant.text.to_string()), Some(constant))
                        }
                        Scalar::Pending => {
                            pending = true;
                            continue;
                        }
                        Scalar::Beyond(_) => return Err(other_type("numeric")),
                    }
                }
            };
            built.parts.push(part);
            built.constants.push(constant);
        }
        Ok((!pending).then_some(built))
    }
}

/// The elements of `any (…)`, each as a literal to compare with a value of `kind`.
fn array_literals<'l>(
    literal: &'l Literal,
    kind: &Kind,
    position: usize,
) -> Result<Cow<'l, [Literal]>, Error> {
    match literal {
        Literal::List(items) => Ok(Cow::Borrowed(items)),
        Literal::Array(items) => {
            // NULLs alone are texts too.
            let typed = |item: &Literal| !matches!(item, Literal::Text(_) | Literal::Null);
            if !items.iter().any(typed) && kind.class != Class::Text {
                let message = format!(
                    "`array['…']` holds texts, and the column is of type {}: write `any ('{{…}}')`, or cast the array",
                    kind.name
                );
                return Err(Error::mistyped(position, message));
            }
            if kind.oid == NAME {
                // A `name` compares with a text as a text, which is not cut to a name's length.
                let text = TypeName { name: "text".into(), array: false };
                return Ok(Cow::Owned(cast_each(items.clone(), &text)));
            }
            Ok(Cow::Borrowed(items))
        }
        Literal::Text(text) => Ok(Cow::Owned(leaves(text, position)?)),
        Literal::Cast(inner, name) if name.array => {
            let items = match &**inner {
                Literal::Text(text) => leaves(text, position)?,
                Literal::Array(items) | Literal::List(items) => items.clone(),
                _ => return Err(Error::mistyped(position, "an array is wanted here")),
            };
            let element = TypeName { array: false, ..name.clone() };
            Ok(Cow::Owned(cast_each(items, &element)))
        }
        _ => Err(Error::mistyped(position, "an array is wanted here: '{…}', `array[…]`, or a parameter")),
    }
}

fn cast_each(items: Vec<Literal>, name: &TypeName) -> Vec<Literal> {
    let cast = |item| match item {
        Literal::Null => Literal::Null,
        other => Literal::Cast(Box::new(other), name.clone()),
    };
    items.into_iter().map(cast).collect()
}

enum LiteralPart<'l> {
    Open,
    Close,
    Element(Cow<'l, Literal>),
}

fn flat(items: &[Literal]) -> Vec<LiteralPart<'_>> {
    let elements = items.iter().map(|item| LiteralPart::Element(Cow::Borrowed(item)));
    // An empty array has no dimension, but its text is the same.
    std::iter::once(LiteralPart::Open).chain(elements).chain([LiteralPart::Close]).collect()
}

fn read(text: &str, position: usize) -> Result<Vec<LiteralPart<'static>>, Error> {
    let parts = array::parse(text).map_err(|_| {
        Error::mistyped(
            position,
            format!("`{text}` is no array as filters read them: write '{{a,\"b c\",NULL}}'"),
        )
    })?;
    let read = |part| match part {
        Part::Open => LiteralPart::Open,
        Part::Close => LiteralPart::Close,
        Part::Null => LiteralPart::Element(Cow::Owned(Literal::Null)),
        Part::Element(text) => LiteralPart::Element(Cow::Owned(Literal::Text(text))),
    };
    Ok(parts.into_iter().map(read).collect())
}

/// The elements of an array's text, whatever its dimensions.
fn leaves(text: &str, position: usize) -> Result<Vec<Literal>, Error> {
    let element = |part| match part {
        LiteralPart::Element(literal) => Some(literal.into_owned()),
        LiteralPart::Open | LiteralPart::Close => None,
    };
    Ok(read(text, position)?.into_iter().filter_map(element).collect())
}

/// The element type of `array[…]`, by its items: `pg_type.oid` and name.
fn array_type(items: &[Literal]) -> Option<(u32, &'static str)> {
    let mut found: Option<(u32, &'static str)> = None;
    for item in items {
        let own = match item {
            Literal::Null => continue,
            Literal::Text(_) => (25, "text"),
            Literal::Bool(_) => (16, "bool"),
            Literal::Number(digits) if digits.contains(['.', 'e', 'E']) => (1700, "numeric"),
            Literal::Number(digits) if digits.parse::<i32>().is_ok() => (23, "int4"),
            Literal::Number(digits) if digits.parse::<i64>().is_ok() => (20, "int8"),
            Literal::Number(_) => (1700, "numeric"),
            Literal::Array(_) | Literal::List(_) | Literal::Cast(..) => return None,
        };
        let wider = |a: u32, b: u32| matches!((a, b), (23, 20 | 1700) | (20, 1700));
        found = Some(match found {
            None => own,
            Some(known) if known == own || wider(own.0, known.0) => known,
            Some(known) if wider(known.0, own.0) => own,
            Some(_) => return None,
        });
    }
    Some(found.unwrap_or((25, "text")))
}

impl Typed {
    fn element_scale(&self, element: &Kind, position: usize) -> Result<Scale, Error> {
        self.check_equality(position)?;
        Scale::of_equality(element).ok_or_else(|| {
            let message = format!("comparing elements of type {} cannot be reproduced here", element.name);
            Error::unsupported(position, message)
        })
    }

    fn array_test(&self, element: &Kind, scale: Scale, relation: ArrayRelation) -> ArrayTest {
        let sql_type = match (&element.class, &relation) {
            (Class::Enum(_), _) => SqlType::Label,
            // A number beside the elements is compared as a double.
            (Class::Float4, ArrayRelation::Holds(_)) => SqlType::Builtin("float8".into()),
            _ => SqlType::Builtin(element.name.clone()),
        };
        ArrayTest { operand: self.operand.clone(), scale, relation, sql_type }
    }
}
