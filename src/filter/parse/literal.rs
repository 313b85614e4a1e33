//! Literals, parameters and the names of types.

use sqlparser::ast::{
    self, Array, ArrayElemTypeDef, CastKind, DataType, ObjectNamePart, UnaryOperator, Value,
};

use super::{Reader, fold, unsupported};
use crate::filter::error::Error;
use crate::filter::param::Param;
use crate::filter::syntax::{Expr, Literal, Node, TypeName};

impl Reader<'_> {
    pub(super) fn literal(&mut self, expr: &ast::Expr) -> Result<Literal, Error> {
        let position = self.position(expr);
        match expr {
            ast::Expr::Value(value) => self.value(&value.value, position),
            ast::Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } => match self.expr(inner)?.node {
                Node::Literal(Literal::Number(text)) => Ok(Literal::Number(match text.strip_prefix('-') {
                    Some(text) => text.to_owned(),
                    None => format!("-{text}"),
                })),
                _ => Err(unsupported(position, "a minus before anything but a number")),
            },
            ast::Expr::UnaryOp { op: UnaryOperator::Plus, expr: inner } => match self.expr(inner)?.node {
                Node::Literal(Literal::Number(text)) => Ok(Literal::Number(text)),
                _ => Err(unsupported(position, "a plus before anything but a number")),
            },
            ast::Expr::TypedString(typed) => {
                let position = self.positions.at(typed.value.span.start).unwrap_or(position);
                if !is_string(&typed.value.value) {
                    return Err(Error::syntax(
                        position,
                        "a type's name is followed by something else than a string",
                    ));
                }
                let text = self.value(&typed.value.value, position)?;
                Ok(Literal::Cast(Box::new(text), type_name(&typed.data_type, position)?))
            }
            ast::Expr::Interval(interval)
                if interval.leading_field.is_none()
                    && interval.last_field.is_none()
                    && interval.leading_precision.is_none()
                    && interval.fractional_seconds_precision.is_none()
                    && matches!(&*interval.value, ast::Expr::Value(value) if is_string(&value.value)) =>
            {
                let name = TypeName { name: "interval".into(), array: false };
                Ok(Literal::Cast(Box::new(self.literal(&interval.value)?), name))
            }
            ast::Expr::Cast {
                kind: CastKind::Cast | CastKind::DoubleColon,
                expr: inner,
                data_type,
                format: None,
                ..
            } => {
                let name = type_name(data_type, position)?;
                let inner = self.expr(inner)?;
                match inner.node {
                    Node::Literal(literal) => Ok(Literal::Cast(Box::new(literal), name)),
                    _ => Err(unsupported(inner.position, "a cast of anything but a literal or a parameter")),
                }
            }
            ast::Expr::Array(Array { elem, named: true }) => {
                let items = elem.iter().map(|item| match self.expr(item)? {
                    Expr { node: Node::Literal(literal), .. } => Ok(literal),
                    Expr { position, .. } => Err(unsupported(position, "anything but literals in an array")),
                });
                items.collect::<Result<_, _>>().map(Literal::Array)
            }
            ast::Expr::InSubquery { .. } | ast::Expr::Subquery(_) | ast::Expr::Exists { .. } => {
                Err(unsupported(position, "a subquery"))
            }
            ast::Expr::Tuple(_) => Err(unsupported(position, "a row of several values")),
            ast::Expr::Identifier(_) | ast::Expr::CompoundIdentifier(_) => {
                Err(unsupported(position, "a column in this place"))
            }
            _ => Err(unsupported(position, "this expression")),
        }
    }

    fn value(&mut self, value: &Value, position: usize) -> Result<Literal, Error> {
        match value {
            Value::Null => Ok(Literal::Null),
            Value::Boolean(value) => Ok(Literal::Bool(*value)),
            Value::Number(text, false) if text.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
                // PostgreSQL 16 and later read `1_000` and `0x1F`, earlier ones something else.
                if text.bytes().any(|byte| !matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')) {
                    return Err(unsupported(position, &format!("the number `{text}`")));
                }
                Ok(Literal::Number(text.clone()))
            }
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => {
                Ok(Literal::Text(text.clone()))
            }
            Value::DollarQuotedString(text) => Ok(Literal::Text(text.value.clone())),
            Value::Placeholder(name) => self.param(name, position),
            other => Err(unsupported(position, &format!("the literal `{other}`"))),
        }
    }

    fn param(&mut self, name: &str, position: usize) -> Result<Literal, Error> {
        let index = name.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
        let Some(index) = index.and_then(|number| number.checked_sub(1)) else {
            return Err(Error::syntax(position, format!("`{name}` is not a parameter: they are $1, $2, …")));
        };
        let Some(param) = self.params.get(index) else {
            let given = self.params.len();
            return Err(Error::syntax(
                position,
                format!("`{name}` has no value: {given} parameters are given"),
            ));
        };
        self.used[index] = true;
        bound(param, position)
    }
}

/// A parameter in its place.
fn bound(param: &Param, position: usize) -> Result<Literal, Error> {
    Ok(match param {
        Param::Null => Literal::Null,
        Param::Bool(value) => Literal::Bool(*value),
        Param::Number(text) => Literal::Number(text.clone()),
        Param::Text(text) => Literal::Text(text.clone()),
        Param::Array(items) => {
            if items.iter().any(|item| matches!(item, Param::Array(_))) {
                return Err(unsupported(
                    position,
                    "an array of arrays as a parameter: pass it as text, `{{…}}`",
                ));
            }
            Literal::List(items.iter().map(|item| bound(item, position)).collect::<Result<_, _>>()?)
        }
    })
}

fn is_string(value: &Value) -> bool {
    matches!(
        value,
        Value::SingleQuotedString(_) | Value::EscapedStringLiteral(_) | Value::DollarQuotedString(_)
    )
}

fn type_name(data_type: &DataType, position: usize) -> Result<TypeName, Error> {
    let modifiers = || unsupported(position, &format!("the type `{data_type}` with modifiers"));
    let name = match data_type {
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, None)) => {
            let element = type_name(element, position)?;
            if element.array {
                return Err(unsupported(position, &format!("the type `{data_type}`")));
            }
            return Ok(TypeName { array: true, ..element });
        }
        DataType::Custom(name, modifiers_given) => {
            if !modifiers_given.is_empty() {
                return Err(modifiers());
            }
            let parts: Vec<String> = name
                .0
                .iter()
                .map(|part| match part {
                    ObjectNamePart::Identifier(ident) => Ok(fold(ident)),
                    ObjectNamePart::Function(_) => Err(unsupported(position, "this type")),
                })
                .collect::<Result<_, _>>()?;
            match parts.as_slice() {
                [name] => name.clone(),
                [schema, name] if schema == "pg_catalog" => name.clone(),
                _ => return Err(unsupported(position, "a type with a schema before it")),
            }
        }
        other => other.to_string().to_ascii_lowercase(),
    };
    if name.contains('(') { Err(modifiers()) } else { Ok(TypeName { name, array: false }) }
}
