//! Comparisons of an operand with literals, and of literals with each other.

use super::scalar::{Numbers, Scalar};
use super::{Binder, Side, Typed, is_null};
use crate::event::{Class, Kind};
use crate::filter::decimal::Place;
use crate::filter::error::Error;
use crate::filter::predicate::{Constant, Order, Predicate, SqlType};
use crate::filter::scale::Scale;
use crate::filter::syntax::{Comparison, Expr, Literal, Node, TypeName};
use crate::filter::value::Key;

impl Binder<'_> {
    pub(super) fn compare(
        &mut self,
        left: &Expr,
        comparison: Comparison,
        right: &Expr,
        position: usize,
    ) -> Result<Predicate, Error> {
        match (self.side(left)?, self.side(right)?) {
            (Side::Operand(typed), Side::Literal(literal)) => {
                self.comparison(&typed, comparison, literal, right.position)
            }
            (Side::Literal(literal), Side::Operand(typed)) => {
                self.comparison(&typed, comparison.flipped(), literal, left.position)
            }
            (Side::Literal(a), Side::Literal(b)) => self.constants(a, comparison, b, position),
            (Side::Operand(_), Side::Operand(_)) => Err(Error::unsupported(
                position,
                "comparing two columns: one side must be a literal or a parameter",
            )),
            (Side::Condition, _) | (_, Side::Condition) => Err(Error::unsupported(
                position,
                "comparing a condition: write `is true`, `is false` or `is unknown` behind it",
            )),
        }
    }

    pub(super) fn equals(
        &mut self,
        typed: &Typed,
        literal: &Literal,
        position: usize,
    ) -> Result<Predicate, Error> {
        self.comparison(typed, Comparison::Equal, literal, position)
    }

    fn comparison(
        &mut self,
        typed: &Typed,
        comparison: Comparison,
        literal: &Literal,
        position: usize,
    ) -> Result<Predicate, Error> {
        if comparison.is_order() {
            return self.order(typed, comparison, literal, position);
        }
        let equal = match &typed.kind.class {
            Class::Jsonb => self.json_equals(typed, literal, position)?,
            Class::Array { element, .. } => self.array_equals(typed, element, literal, position)?,
            _ => self.list(typed, std::slice::from_ref(literal), Numbers::Double, position)?,
        };
        Ok(if comparison == Comparison::NotEqual { Predicate::negate(equal) } else { equal })
    }

    /// `typed in (literals)`
    pub(super) fn list(
        &mut self,
        typed: &Typed,
        literals: &[Literal],
        numbers: Numbers,
        position: usize,
    ) -> Result<Predicate, Error> {
        let scale = typed.equality_scale(position)?;
        let mut constants = Vec::with_capacity(literals.len());
        let mut null = false;
        for literal in literals {
            match self.scalar(literal, &typed.kind, &scale, numbers, position)? {
                Scalar::Null => null = true,
                Scalar::Constant(constant) => constants.push(constant),
                // Never equal to an integer; or not known yet, and then nothing of this predicate is used.
                Scalar::Beyond(_) | Scalar::Pending => {}
            }
        }
        Ok(Predicate::one_of(typed.operand.clone(), scale, constants, null, typed.sql_type()))
    }

    fn order(
        &mut self,
        typed: &Typed,
        comparison: Comparison,
        literal: &Literal,
        position: usize,
    ) -> Result<Predicate, Error> {
        typed.equality_scale(position)?;
        typed.check_order(position)?;
        let Some(scale) = Scale::of_order(&typed.kind) else {
            let message = format!("the order of type {} cannot be reproduced here", typed.kind.name);
            return Err(Error::unsupported(position, message));
        };
        let order = |comparison, constant| {
            Predicate::order(Order {
                operand: typed.operand.clone(),
                scale: scale.clone(),
                comparison,
                constant,
                sql_type: typed.sql_type(),
            })
        };
        let integer = |value: i64| Constant { key: Key::Int(value), text: value.to_string().into() };
        let downward = matches!(comparison, Comparison::Less | Comparison::LessOrEqual);
        Ok(match self.scalar(literal, &typed.kind, &scale, Numbers::Double, position)? {
            Scalar::Null | Scalar::Pending => Predicate::Constant(None),
            Scalar::Constant(constant) => order(comparison, constant),
            Scalar::Beyond(Place::Above) if downward => order(Comparison::LessOrEqual, integer(i64::MAX)),
            Scalar::Beyond(Place::Below) if !downward => order(Comparison::GreaterOrEqual, integer(i64::MIN)),
            Scalar::Beyond(Place::At(floor) | Place::After(floor)) if downward => {
                order(Comparison::LessOrEqual, integer(floor))
            }
            Scalar::Beyond(Place::At(floor) | Place::After(floor)) => {
                order(Comparison::Greater, integer(floor))
            }
            Scalar::Beyond(Place::Above | Place::Below) => {
                Predicate::never(typed.operand.clone(), Scale::Int, typed.sql_type())
            }
        })
    }

    /// `is distinct from`
    pub(super) fn distinct(
        &mut self,
        left: &Expr,
        right: &Expr,
        position: usize,
    ) -> Result<Predicate, Error> {
        let (typed, literal, at) = match (self.side(left)?, self.side(right)?) {
            (Side::Operand(typed), Side::Literal(literal)) => (typed, literal, right.position),
            (Side::Literal(literal), Side::Operand(typed)) => (typed, literal, left.position),
            (Side::Literal(a), Side::Literal(b)) => {
                if is_null(a) || is_null(b) {
                    return Ok(Predicate::Constant(Some(is_null(a) != is_null(b))));
                }
                let equal = self.constants(a, Comparison::Equal, b, position)?;
                return Ok(Predicate::negate(Predicate::truth(equal, Some(true))));
            }
            _ => {
                return Err(Error::unsupported(
                    position,
                    "`is distinct from` between anything but a column and a literal or a parameter",
                ));
            }
        };
        // Refuses what equality refuses, a NULL of a wrong type included.
        let equal = self.equals(&typed, literal, at)?;
        if is_null(literal) {
            return Ok(Predicate::negate(Predicate::Null(typed.operand)));
        }
        Ok(Predicate::negate(Predicate::truth(equal, Some(true))))
    }

    /// `in (…)`
    pub(super) fn one_of(
        &mut self,
        subject: &Expr,
        items: &[Expr],
        position: usize,
    ) -> Result<Predicate, Error> {
        self.count(items.len(), position)?;
        let literals: Vec<Literal> = items
            .iter()
            .map(|item| match &item.node {
                Node::Literal(literal) => Ok(literal.clone()),
                _ => Err(Error::unsupported(item.position, "a list may hold only literals and parameters")),
            })
            .collect::<Result<_, _>>()?;
        match self.side(subject)? {
            Side::Operand(typed) if matches!(typed.kind.class, Class::Jsonb | Class::Array { .. }) => {
                let equals = items
                    .iter()
                    .zip(&literals)
                    .map(|(item, literal)| self.equals(&typed, literal, item.position));
                equals.collect::<Result<_, _>>().map(Predicate::or)
            }
            Side::Operand(typed) => {
                let blamed = items.first().map_or(position, |item| item.position);
                let (literals, numbers) = agreed(literals, &typed.kind);
                self.list(&typed, &literals, numbers, blamed)
            }
            Side::Literal(subject) => literals
                .iter()
                .map(|literal| self.constants(subject, Comparison::Equal, literal, position))
                .collect::<Result<_, _>>()
                .map(Predicate::or),
            Side::Condition => Err(Error::unsupported(position, "`in` behind a condition")),
        }
    }

    /// Two literals: what they come to is known before any row.
    pub(super) fn constants(
        &mut self,
        a: &Literal,
        comparison: Comparison,
        b: &Literal,
        position: usize,
    ) -> Result<Predicate, Error> {
        let kind = common_kind(a, b).ok_or_else(|| {
            Error::unsupported(
                position,
                "comparing these two literals: cast them to one type, or compare a column",
            )
        })?;
        if comparison.is_order() && kind.class == Class::Text {
            let message =
                "the order of two texts depends on the database's collation, which cannot be reproduced here";
            return Err(Error::unsupported(position, message));
        }
        let Some(scale) = Scale::of_equality(&kind) else {
            return Err(Error::unsupported(
                position,
                format!("comparing two literals of type {}", kind.name),
            ));
        };
        let a = self.scalar(a, &kind, &scale, Numbers::Double, position)?;
        let b = self.scalar(b, &kind, &scale, Numbers::Double, position)?;
        Ok(Predicate::Constant(match (a, b) {
            (Scalar::Constant(a), Scalar::Constant(b)) => Some(comparison.holds(a.key.cmp(&b.key))),
            _ => None,
        }))
    }
}

/// Several values in a list agree on one type with the column. That shows beside a `real`: with one double among them
/// all are doubles, texts included, and else all are `real`, numbers included.
fn agreed(literals: Vec<Literal>, kind: &Kind) -> (Vec<Literal>, Numbers) {
    let double = |literal: &Literal| matches!(literal, Literal::Cast(_, name) if name.builtin() == Some(701));
    if kind.class != Class::Float4 || literals.len() < 2 {
        return (literals, Numbers::Double);
    }
    if !literals.iter().any(double) {
        return (literals, Numbers::Single);
    }
    let widened = |literal| match literal {
        Literal::Text(_) => {
            Literal::Cast(Box::new(literal), TypeName { name: "float8".into(), array: false })
        }
        other => other,
    };
    (literals.into_iter().map(widened).collect(), Numbers::Double)
}

/// The type in which PostgreSQL compares two literals; integers are compared as `numeric`, to the same result.
fn common_kind(a: &Literal, b: &Literal) -> Option<Kind> {
    let kind =
        |oid: u32, name: &str| Class::of_builtin(oid).map(|class| Kind { oid, name: name.into(), class });
    let own = |literal: &Literal| match literal {
        Literal::Number(_) => kind(1700, "numeric"),
        Literal::Bool(_) => kind(16, "bool"),
        Literal::Cast(_, name) if !name.array => match name.builtin()? {
            20 | 21 | 23 => kind(1700, "numeric"),
            oid => kind(oid, &name.name),
        },
        _ => None,
    };
    let untyped = |literal: &Literal| matches!(literal, Literal::Text(_) | Literal::Null);
    match (own(a), own(b)) {
        (Some(a), Some(b)) if a.oid == b.oid => Some(a),
        (Some(float), Some(number)) | (Some(number), Some(float))
            if float.class == Class::Float8 && number.class == Class::Numeric =>
        {
            Some(float)
        }
        (Some(kind), None) if untyped(b) => Some(kind),
        (None, Some(kind)) if untyped(a) => Some(kind),
        (None, None) if untyped(a) && untyped(b) => kind(25, "text"),
        _ => None,
    }
}

impl Typed {
    /// The scale on which equality is decided, if it can be.
    pub(super) fn equality_scale(&self, position: usize) -> Result<Scale, Error> {
        self.check_equality(position)?;
        Scale::of_equality(&self.kind).ok_or_else(|| {
            let hint = match self.kind.class {
                Class::Json => "; make the column jsonb",
                Class::Jsonb => "; use `=`, `@>` or `->>`",
                Class::Array { .. } => "; use `=`, `@>`, `&&` or `= any`",
                _ => "",
            };
            let message = format!(
                "comparing `{}`, of type {}, cannot be reproduced here{hint}",
                self.operand.name, self.kind.name
            );
            Error::unsupported(position, message)
        })
    }

    pub(super) fn sql_type(&self) -> SqlType {
        match &self.kind.class {
            Class::Enum(_) => SqlType::Label,
            Class::Text => SqlType::Builtin("text".into()),
            Class::Float4 => SqlType::Builtin("float8".into()),
            _ => SqlType::Builtin(self.kind.name.clone()),
        }
    }
}
