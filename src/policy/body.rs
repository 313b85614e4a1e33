//! A function's body in the place of its call, where that comes to the same as calling it.
//!
//! It comes to the same only if every name in it still means what it means to PostgreSQL there: names of parameters, which
//! columns go before; names of tables and functions, which its own `search_path` finds; types, which arguments and result
//! are brought to; and only if who asks could have called it.

use std::collections::HashMap;
use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, CastKind, Expr, Ident, Query, Value, Visit, Visitor, visit_expressions,
    visit_expressions_mut,
};

use super::Refusal;
use super::check::Within;
use super::expression::{Body, data_type, is_literal, scalar};
use super::ident::{fold, quoted};
use super::library::Callable;
use super::names::count;
use super::plan::{Planner, is_fold};
use super::rows::as_row_column;
use super::subselect::{From, sources};
use crate::postgres::policy::{Function, TypeName};

/// What stands for an argument that is not looked at: it holds columns of a sub-select around the call.
const OPAQUE: &str = "«argument»";
/// Columns that every table has.
const SYSTEM: [&str; 6] = ["tableoid", "cmax", "xmax", "cmin", "xmin", "ctid"];
/// What PostgreSQL's functions that give rows call their columns, besides as themselves.
const COLUMNS: [&str; 6] = ["key", "value", "ordinality", "word", "element", "elem"];
/// Words that the input of times reads as of the moment.
///
/// See <https://www.postgresql.org/docs/current/datatype-datetime.html#DATATYPE-DATETIME-SPECIAL-VALUES>.
const MOMENTS: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];
/// Functions that are not the same for one value as for many rows.
const AGGREGATES: [&str; 3] = ["count", "array_agg", "string_agg"];

/// Whether it is an argument that is not looked at.
pub(super) fn is_opaque(ident: &Ident) -> bool {
    ident.value == OPAQUE
}

impl Planner<'_> {
    /// The body of `function` with `given` in the places of its parameters; `inner` is where the body stands, `within` where
    /// the call does.
    ///
    /// # Errors
    /// It could come to something else than the call.
    pub(super) fn body_of(
        &mut self,
        function: &Function,
        body: &Body,
        given: Vec<Expr>,
        within: &Within,
    ) -> Result<(Body, Within), Refusal> {
        let inner = within.function(function, &self.scene.search_path)?;
        let refuse = |reason: &str| Err(Refusal::part(&function.name, reason));
        if !function.plain {
            return refuse(
                "is polymorphic, gives records, has parameters that are no plain input, or sets more than its search_path",
            );
        }
        if let Some(word) = moment(body) {
            return refuse(&format!("holds the word `{word}` in a text, which may be read as a time"));
        }
        self.captures(function, body, &inner)?;
        let call = match within.definer {
            Some(owner) => format!("has_function_privilege({owner}::oid, {}::oid, 'execute')", function.oid),
            None => format!("has_function_privilege({}::oid, 'execute')", function.oid),
        };
        self.plan.privileges.insert(call, format!("permission denied for function {}", function.name));
        let given = given
            .into_iter()
            .zip(&function.parameter_types)
            .map(|(given, kind)| self.coerced(given, kind, within))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((substituted(body, function, &given), inner))
    }

    /// An argument as the body of a function that is only looked into may hold it: computed ahead where it can be, else
    /// nothing that is looked at.
    pub(super) fn settled(&mut self, given: Expr, within: &Within) -> Expr {
        if is_literal(&given) {
            return given;
        }
        let open = visit_expressions(&given, |expr| match expr {
            Expr::Identifier(ident) if is_fold(ident) => ControlFlow::Continue(()),
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
            Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => ControlFlow::Break(()),
            Expr::Function(call) if AGGREGATES.contains(&&*call.name.to_string().to_ascii_lowercase()) => {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        });
        let opaque = || Expr::Identifier(quoted(OPAQUE));
        if open.is_break() { opaque() } else { self.fold(given, within).unwrap_or_else(|_| opaque()) }
    }

    /// What a function gives, brought to its type.
    pub(super) fn given_by(&self, function: &Function, body: Expr, inner: &Within) -> Result<Expr, Refusal> {
        self.coerced(body, &function.result, inner)
    }

    fn coerced(&self, expr: Expr, kind: &TypeName, within: &Within) -> Result<Expr, Refusal> {
        let expr = Expr::Nested(Box::new(expr));
        if self.is_of(&expr, kind, within) {
            return Ok(expr);
        }
        let data_type = data_type(&kind.name)?;
        let cast = Expr::Cast { kind: CastKind::DoubleColon, expr: Box::new(expr), data_type, format: None };
        Ok(Expr::Nested(Box::new(cast)))
    }

    /// Whether it is of a type as it stands.
    fn is_of(&self, expr: &Expr, kind: &TypeName, within: &Within) -> bool {
        const BOOL: u32 = 16;
        match expr {
            Expr::Nested(inner) => self.is_of(inner, kind, within),
            Expr::Subquery(query) => scalar(query).is_some_and(|inner| self.is_of(inner, kind, within)),
            Expr::Function(call) => match self.library.find(call, count(call), &within.schemas) {
                Ok(Callable::Sql(function, _)) => function.result.oid == kind.oid,
                _ => false,
            },
            Expr::Identifier(ident) if is_opaque(ident) => true,
            Expr::Cast { data_type, .. } => data_type.to_string().eq_ignore_ascii_case(&kind.name),
            Expr::BinaryOp { op, .. } => kind.oid == BOOL && is_truth(op),
            Expr::Value(value) => kind.oid == BOOL && matches!(value.value, Value::Boolean(_)),
            Expr::UnaryOp { op: sqlparser::ast::UnaryOperator::Not, .. }
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotUnknown(_)
            | Expr::IsDistinctFrom(..)
            | Expr::IsNotDistinctFrom(..)
            | Expr::InList { .. }
            | Expr::InSubquery { .. }
            | Expr::Between { .. }
            | Expr::Like { .. }
            | Expr::ILike { .. }
            | Expr::AnyOp { .. }
            | Expr::AllOp { .. }
            | Expr::Exists { .. } => kind.oid == BOOL,
            other => as_row_column(other).is_some_and(|name| {
                self.row.iter().any(|(column, oids)| **column == *name && oids.contains(&kind.oid))
            }),
        }
    }

    /// A name in a body that PostgreSQL takes for a column, where it is a parameter's too.
    fn captures(&self, function: &Function, body: &Body, inner: &Within) -> Result<(), Refusal> {
        let mut queries = Queries(Vec::new());
        let _: ControlFlow<()> = match body {
            Body::Expression(expr) => expr.visit(&mut queries),
            Body::Query(query) => query.visit(&mut queries),
        };
        let named = |name: &str| function.parameters.iter().any(|it| !it.is_empty() && **it == *name);
        for query in &queries.0 {
            let Some(source) = sources(query)?.into_iter().next() else { continue };
            let From::Relation(schema, name) = &source.from else {
                // What a function in `from` calls its columns is not known here.
                let bare = visit_expressions(query, |expr| match expr {
                    Expr::Identifier(ident) if named(&fold(ident)) => ControlFlow::Break(fold(ident)),
                    _ => ControlFlow::Continue(()),
                });
                match bare {
                    ControlFlow::Break(name) if source.alias == name || COLUMNS.contains(&&*name) => {
                        let reason = "is a parameter, and may be a column of the function in `from`: give it another name";
                        return Err(Refusal::part(&name, reason));
                    }
                    _ => continue,
                }
            };
            let table = self.scene.table(schema.as_deref(), name, &inner.schemas)?;
            let access = self.scene.access(table.oid);
            let is_column = |name: &str| {
                let others = access.iter().flat_map(|access| access.columns.iter().chain(&access.unreadable));
                SYSTEM.contains(&name)
                    || table.column(name).is_some()
                    || others.into_iter().any(|it| **it == *name)
            };
            let captured = visit_expressions(query, |expr| match expr {
                Expr::Identifier(ident) if named(&fold(ident)) && is_column(&fold(ident)) => {
                    ControlFlow::Break(fold(ident))
                }
                Expr::CompoundIdentifier(parts)
                    if source.alias == *function.name && fold(&parts[0]) == source.alias =>
                {
                    ControlFlow::Break(fold(&parts[0]))
                }
                _ => ControlFlow::Continue(()),
            });
            if let ControlFlow::Break(name) = captured {
                let reason = format!(
                    "is a parameter of `{}` and a name in {} too, which goes before it: give the parameter another name",
                    function.name, table.name
                );
                return Err(Refusal::part(&name, &reason));
            }
        }
        Ok(())
    }
}

/// Every query in a text.
struct Queries(Vec<Query>);

impl Visitor for Queries {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.0.push(query.clone());
        ControlFlow::Continue(())
    }
}

/// Whether an operator gives a truth.
const fn is_truth(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::And
            | BinaryOperator::Or
            | BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq
    )
}

/// A word in a text of the body that may be read as a time of the moment.
fn moment(body: &Body) -> Option<&'static str> {
    let word = |text: &str| {
        let text = text.to_ascii_lowercase();
        let mut words = text.split(|c: char| !c.is_ascii_alphabetic());
        words.find_map(|word| MOMENTS.into_iter().find(|moment| *moment == word))
    };
    let of = |expr: &Expr| {
        let found = match expr {
            Expr::TypedString(typed) => word(&typed.to_string()),
            Expr::Value(value) if !matches!(value.value, Value::Placeholder(_)) => word(&value.to_string()),
            _ => None,
        };
        found.map_or(ControlFlow::Continue(()), ControlFlow::Break)
    };
    let found = match body {
        Body::Expression(expr) => visit_expressions(&**expr, of),
        Body::Query(query) => visit_expressions(&**query, of),
    };
    found.break_value()
}

/// The body with arguments in the places of parameters.
fn substituted(body: &Body, function: &Function, given: &[Expr]) -> Body {
    let by_name: HashMap<&str, &Expr> = function
        .parameters
        .iter()
        .zip(given)
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, it)| (&**name, it))
        .collect();
    let place = |expr: &mut Expr| {
        let argument = match &*expr {
            Expr::Value(value) => match &value.value {
                Value::Placeholder(name) => {
                    let number = name.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
                    number.and_then(|number| given.get(number.checked_sub(1)?))
                }
                _ => None,
            },
            Expr::Identifier(ident) => by_name.get(&*fold(ident)).copied(),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [owner, Ident { .. }] if fold(owner) == *function.name => {
                    by_name.get(&*fold(&parts[1])).copied()
                }
                _ => None,
            },
            _ => None,
        };
        if let Some(argument) = argument {
            *expr = argument.clone();
        }
        ControlFlow::Continue(())
    };
    let mut body = body.clone();
    let _: ControlFlow<()> = match &mut body {
        Body::Expression(expr) => visit_expressions_mut(&mut **expr, place),
        Body::Query(query) => visit_expressions_mut(&mut **query, place),
    };
    body
}
