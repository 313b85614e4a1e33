//! One literal beside a value of some type.

use super::Binder;
use crate::event::{Class, Kind};
use crate::filter::decimal::{Decimal, Place};
use crate::filter::error::Error;
use crate::filter::literal;
use crate::filter::predicate::Constant;
use crate::filter::scale::Scale;
use crate::filter::syntax::{Literal, TypeName};
use crate::filter::value::{Key, float_rank};

/// What a literal comes to.
pub(super) enum Scalar {
    Null,
    /// PostgreSQL has yet to be asked.
    Pending,
    Constant(Constant),
    /// A number that is no integer of 64 bits, beside an integer column.
    Beyond(Place),
}

/// How PostgreSQL types a number beside a `real`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    /// As a double, to which the column is widened: alone.
    Double,
    /// As a `real`: in a list of several.
    Single,
}

impl Binder<'_> {
    /// `literal` as something to compare with a value of `kind` on `scale`.
    pub(super) fn scalar(
        &mut self,
        literal: &Literal,
        kind: &Kind,
        scale: &Scale,
        numbers: Numbers,
        position: usize,
    ) -> Result<Scalar, Error> {
        match literal {
            Literal::Null => Ok(Scalar::Null),
            Literal::Text(text) => self.text(text, kind, scale, position),
            Literal::Number(digits) => number(digits, kind, numbers, position),
            Literal::Bool(value) if kind.class == Class::Bool => {
                constant(if *value { "t" } else { "f" }, kind, scale, position).map(Scalar::Constant)
            }
            Literal::Bool(_) => {
                Err(Error::mistyped(position, format!("a boolean beside a value of type {}", kind.name)))
            }
            Literal::Array(_) | Literal::List(_) => Err(Error::mistyped(
                position,
                "an array where one value is wanted: write `= any (…)` to compare with each of its elements",
            )),
            Literal::Cast(inner, name) => self.cast(inner, name, kind, scale, numbers, position),
        }
    }

    fn text(&mut self, text: &str, kind: &Kind, scale: &Scale, position: usize) -> Result<Scalar, Error> {
        match self.canonical(text, kind, position)? {
            Some(text) => constant(&text, kind, scale, position).map(Scalar::Constant),
            None => Ok(Scalar::Pending),
        }
    }

    fn cast(
        &mut self,
        inner: &Literal,
        name: &TypeName,
        kind: &Kind,
        scale: &Scale,
        numbers: Numbers,
        position: usize,
    ) -> Result<Scalar, Error> {
        let given = name.builtin().filter(|_| !name.array);
        if let Literal::Cast(innermost, inner_name) = inner {
            // `'7'::int::int`: the same type twice changes nothing.
            if inner_name == name {
                return self.cast(innermost, name, kind, scale, numbers, position);
            }
            return Err(Error::unsupported(position, "a cast of a cast is not supported in a filter"));
        }
        let same = given == Some(kind.oid) || (given.is_none() && !name.array && is_enum(kind, name));
        if same && !matches!(inner, Literal::Number(_)) {
            return self.scalar(inner, kind, scale, Numbers::Single, position);
        }
        let unfit = || {
            let message = format!(
                "a literal of type {name} beside a value of type {}: leave the cast out, or cast to {}",
                kind.name, kind.name
            );
            Error::unsupported(position, message)
        };
        match (given, &kind.class) {
            // `varchar` compares as `text` does; so does a `name` with a `text`.
            (Some(25 | 1043), Class::Text) => match inner {
                Literal::Text(_) | Literal::Null => {
                    let text = Kind { oid: 25, name: "text".into(), class: Class::Text };
                    self.scalar(inner, &text, scale, Numbers::Double, position)
                }
                _ => Err(unfit()),
            },
            (
                Some(oid @ (20 | 21 | 23 | 1700)),
                Class::Int2 | Class::Int4 | Class::Int8 | Class::Numeric | Class::Float4 | Class::Float8,
            ) => match self.converted(inner, oid, position)? {
                Converted::Null => Ok(Scalar::Null),
                Converted::Pending => Ok(Scalar::Pending),
                Converted::Text(text) => number(&text, kind, numbers, position),
            },
            (Some(oid @ (700 | 701)), Class::Float4 | Class::Float8) => {
                match self.converted(inner, oid, position)? {
                    Converted::Null => Ok(Scalar::Null),
                    Converted::Pending => Ok(Scalar::Pending),
                    Converted::Text(text) => float(&text, oid == 700, position).map(Scalar::Constant),
                }
            }
            _ => Err(unfit()),
        }
    }

    /// The text of a literal that was cast to the built-in type `oid`.
    fn converted(&mut self, inner: &Literal, oid: u32, position: usize) -> Result<Converted, Error> {
        let text = match inner {
            Literal::Null => return Ok(Converted::Null),
            Literal::Text(text) | Literal::Number(text) => text,
            _ => {
                return Err(Error::unsupported(position, "only strings and numbers can be cast in a filter"));
            }
        };
        let text = match literal::number(text) {
            // An exponent makes a number `numeric`, which a cast to an integer converts.
            Some(plain) if matches!(inner, Literal::Number(_)) => plain,
            _ => text.clone(),
        };
        if matches!((inner, oid), (Literal::Number(_), 20 | 21 | 23)) && text.contains('.') {
            return Err(Error::unsupported(position, "a cast that rounds a number to an integer"));
        }
        let class = Class::of_builtin(oid).expect("asked for numeric types only");
        let kind = Kind { oid, name: type_name(oid).into(), class };
        Ok(self.canonical(&text, &kind, position)?.map_or(Converted::Pending, Converted::Text))
    }
}

enum Converted {
    Null,
    Pending,
    Text(String),
}

const fn type_name(oid: u32) -> &'static str {
    match oid {
        20 => "int8",
        21 => "int2",
        23 => "int4",
        700 => "float4",
        701 => "float8",
        _ => "numeric",
    }
}

/// Whether `name` is that of the enum.
pub(super) fn is_enum(kind: &Kind, name: &TypeName) -> bool {
    matches!(kind.class, Class::Enum(_)) && *kind.name == *name.name
}

/// A number literal beside a value of `kind`.
pub(super) fn number(digits: &str, kind: &Kind, numbers: Numbers, position: usize) -> Result<Scalar, Error> {
    let too_long = || Error::unsupported(position, format!("the number `{digits}` has too many digits"));
    match &kind.class {
        Class::Int2 | Class::Int4 | Class::Int8 => {
            let plain = plain(digits).ok_or_else(too_long)?;
            let decimal = Decimal::parse(plain.as_bytes()).ok_or_else(too_long)?;
            Ok(match decimal.place() {
                Place::At(value) => {
                    Scalar::Constant(Constant { key: Key::Int(value), text: value.to_string().into() })
                }
                beyond => Scalar::Beyond(beyond),
            })
        }
        Class::Numeric => {
            let plain = plain(digits).ok_or_else(too_long)?;
            constant(&plain, kind, &Scale::Numeric, position).map(Scalar::Constant)
        }
        Class::Float4 => float(digits, numbers == Numbers::Single, position).map(Scalar::Constant),
        Class::Float8 => float(digits, false, position).map(Scalar::Constant),
        _ => Err(Error::mistyped(
            position,
            format!(
                "the number {digits} beside a value of type {}: write it as a text, '{digits}'",
                kind.name
            ),
        )),
    }
}

/// `NaN` and infinities are as plain as they get.
fn plain(digits: &str) -> Option<String> {
    if digits.ends_with(['N', 'y']) { Some(digits.to_owned()) } else { literal::number(digits) }
}

/// A constant beside floats: always a double, to which a `real` is widened.
fn float(digits: &str, single: bool, position: usize) -> Result<Constant, Error> {
    let text = if digits.ends_with(['N', 'y']) {
        Some(digits.to_owned())
    } else {
        literal::float_text(digits, single)
    };
    let value = text.and_then(|text| {
        if single { text.parse::<f32>().ok().map(f64::from) } else { text.parse::<f64>().ok() }
    });
    value.map(float_constant).ok_or_else(|| {
        let kind = if single { "float4" } else { "float8" };
        Error::mistyped(position, format!("`{digits}` is out of range for type {kind}"))
    })
}

fn float_constant(value: f64) -> Constant {
    let value = value + 0.0;
    let text = if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".into() } else { "-Infinity".into() }
    } else {
        format!("{value:e}").into()
    };
    Constant { key: Key::Int(float_rank(value)), text }
}

/// A constant of `kind` from its canonical text.
pub(super) fn constant(text: &str, kind: &Kind, scale: &Scale, position: usize) -> Result<Constant, Error> {
    let value = scale.read(text.as_bytes()).map_err(|_| {
        let message = format!("`{text}` cannot be compared here as a value of type {}", kind.name);
        Error::unsupported(position, message)
    })?;
    let key = value.to_key();
    let text = match (&key, &kind.class) {
        // Rows of `real` are widened to be compared, and so is what they are compared with.
        (_, Class::Float4 | Class::Float8) => {
            let single = kind.class == Class::Float4;
            let widened = if single { text.parse::<f32>().map(f64::from) } else { text.parse::<f64>() };
            return Ok(float_constant(widened.expect("its scale has read it")));
        }
        (Key::Decimal(canonical), _) => String::from_utf8_lossy(canonical).into(),
        (Key::Bytes(trimmed), Class::Bpchar) => String::from_utf8_lossy(trimmed).into(),
        _ => text.into(),
    };
    Ok(Constant { key, text })
}
