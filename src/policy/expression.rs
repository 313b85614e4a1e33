//! A policy's text as a tree, and how the tree is walked.

use sqlparser::ast::{
    Array, BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Interval, Query, SelectItem, SetExpr, Statement, UnaryOperator,
    Value, ValueWithSpan,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::Refusal;

/// Levels of the parser's own recursion: policies are written by people.
const RECURSION: usize = 128;
/// The longest text that is read, in bytes.
const TEXT_BYTES: usize = 64 * 1024;

/// Reads an expression as `pg_get_expr` writes it.
pub(super) fn expression(text: &str) -> Result<Expr, Refusal> {
    let mut parser = parser(text)?;
    let expr = parser.parse_expr().map_err(|error| unreadable(&error))?;
    if parser.peek_token().token != Token::EOF {
        return Err(Refusal::part(text, "is not one expression"));
    }
    same(text, &expr.to_string())?;
    Ok(expr)
}

/// Reads the body of a function in SQL: one query, or one `return`.
pub(super) fn body(text: &str) -> Result<Body, Refusal> {
    let trimmed = text.trim().trim_end_matches(';').trim_end();
    if let Some(inner) = strip_word(trimmed, "return") {
        return expression(inner.trim()).map(|expr| Body::Expression(Box::new(expr)));
    }
    let atomic = strip_word(trimmed, "begin").and_then(|rest| strip_word(rest.trim_start(), "atomic"));
    let trimmed = match atomic.map(str::trim) {
        Some(rest) => {
            rest.get(..rest.len().saturating_sub(3)).unwrap_or_default().trim().trim_end_matches(';')
        }
        None => trimmed,
    };
    let mut parser = parser(trimmed)?;
    let statements = parser.parse_statements().map_err(|error| unreadable(&error))?;
    match <[Statement; 1]>::try_from(statements) {
        Ok([Statement::Query(query)]) => {
            same(trimmed, &query.to_string())?;
            Ok(match scalar(&query) {
                Some(expr) => Body::Expression(Box::new(expr.clone())),
                None => Body::Query(query),
            })
        }
        _ => Err(Refusal::part(trimmed, "is not one query")),
    }
}

/// Reads a type as `format_type` writes it.
pub(super) fn data_type(text: &str) -> Result<DataType, Refusal> {
    let mut parser = parser(text)?;
    let data_type = parser.parse_data_type().map_err(|error| unreadable(&error))?;
    if parser.peek_token().token != Token::EOF {
        return Err(Refusal::part(text, "is a type that cannot be read"));
    }
    Ok(data_type)
}

/// The body of a function in SQL.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// `select …` without a table.
    Expression(Box<Expr>),
    Query(Box<Query>),
}

fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(word.len())?;
    let ends = rest.starts_with(|c: char| c.is_whitespace() || c == '(');
    (head.eq_ignore_ascii_case(word) && ends).then_some(rest)
}

fn parser(text: &str) -> Result<Parser<'static>, Refusal> {
    if text.len() > TEXT_BYTES {
        return Err(Refusal::part("", "is longer than 64 KiB"));
    }
    let dialect = &PostgreSqlDialect {};
    let tokens = Tokenizer::new(dialect, text).tokenize_with_location();
    let tokens = tokens.map_err(|error| Refusal::part(text, &format!("cannot be read: {error}")))?;
    Ok(Parser::new(&PostgreSqlDialect {}).with_recursion_limit(RECURSION).with_tokens_with_locations(tokens))
}

fn unreadable(error: &sqlparser::parser::ParserError) -> Refusal {
    Refusal::part("", &format!("cannot be read: {error}"))
}

/// Whether what was read says what was written: the parser knows less of PostgreSQL's grammar than PostgreSQL.
fn same(text: &str, read: &str) -> Result<(), Refusal> {
    let tokens = |text: &str| {
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize().unwrap_or_default();
        tokens
            .into_iter()
            .filter(|token| !matches!(token, Token::Whitespace(_)))
            .map(|token| match token {
                Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_lowercase(),
                // `!=` and `<>`, and a string however it was quoted.
                Token::Neq => "<>".to_owned(),
                Token::Number(digits, _) => digits,
                Token::DollarQuotedString(text) => format!("'{}'", text.value),
                other => other.to_string(),
            })
            .filter(|token| token != ";" && token != "as")
            .collect::<Vec<_>>()
    };
    if tokens(text) == tokens(read) {
        Ok(())
    } else {
        Err(Refusal::part(text, "is read as something else than it says; it may be written in a plainer way"))
    }
}

/// The value of `select …` without a table.
pub(super) fn scalar(query: &Query) -> Option<&Expr> {
    let select = super::subselect::plain_select(query)?;
    match (&*select.projection, &select.selection) {
        ([SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }], None)
            if select.from.is_empty() =>
        {
            Some(expr)
        }
        _ => None,
    }
}

/// What stands directly under an expression of the kinds that policies may hold; sub-selects are not looked into.
///
/// # Errors
/// The expression is of another kind.
pub(super) fn children(expr: &mut Expr) -> Result<Vec<&mut Expr>, Refusal> {
    let shown = || Refusal::part("", "holds an expression of a kind that is not supported in policies");
    Ok(match expr {
        Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::Value(_)
        | Expr::TypedString(_)
        | Expr::Interval(Interval { .. })
        | Expr::Subquery(_)
        | Expr::Exists { .. } => Vec::new(),
        Expr::Nested(inner)
        | Expr::IsNull(inner)
        | Expr::IsNotNull(inner)
        | Expr::IsTrue(inner)
        | Expr::IsNotTrue(inner)
        | Expr::IsFalse(inner)
        | Expr::IsNotFalse(inner)
        | Expr::IsUnknown(inner)
        | Expr::IsNotUnknown(inner)
        | Expr::UnaryOp {
            op: UnaryOperator::Not | UnaryOperator::Minus | UnaryOperator::Plus,
            expr: inner,
        }
        | Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr: inner, format: None, .. }
        | Expr::InSubquery { expr: inner, .. } => vec![inner],
        Expr::IsDistinctFrom(left, right)
        | Expr::IsNotDistinctFrom(left, right)
        | Expr::AnyOp { left, right, .. }
        | Expr::AllOp { left, right, .. } => vec![left, right],
        Expr::BinaryOp { left, op, right } if !matches!(op, BinaryOperator::PGCustomBinaryOperator(_)) => {
            vec![left, right]
        }
        Expr::InList { expr, list, .. } => std::iter::once(&mut **expr).chain(list).collect(),
        Expr::Between { expr, low, high, .. } => vec![expr, low, high],
        Expr::Like { any: false, expr, pattern, escape_char, .. }
        | Expr::ILike { any: false, expr, pattern, escape_char, .. } => {
            [Some(expr), Some(pattern), escape_char.as_mut()]
                .into_iter()
                .flatten()
                .map(|it| &mut **it)
                .collect()
        }
        Expr::Array(Array { elem, .. }) => elem.iter_mut().collect(),
        Expr::Case { operand, conditions, else_result, .. } => {
            let branches = conditions.iter_mut().flat_map(|when| [&mut when.condition, &mut when.result]);
            let ends = operand.iter_mut().chain(else_result).map(|it| &mut **it);
            branches.chain(ends).collect()
        }
        Expr::Function(function) => arguments(function)?,
        _ => return Err(shown()),
    })
}

/// The arguments of a plain call: no `distinct`, `filter`, `over` and the like.
pub(super) fn arguments(function: &mut Function) -> Result<Vec<&mut Expr>, Refusal> {
    let plain = function.filter.is_none()
        && function.over.is_none()
        && function.within_group.is_empty()
        && function.null_treatment.is_none()
        && function.parameters == FunctionArguments::None;
    let shown = function.to_string();
    let other = || Refusal::part(&shown, "is more than a plain call");
    match &mut function.args {
        _ if !plain => Err(other()),
        FunctionArguments::None | FunctionArguments::Subquery(_) => Ok(Vec::new()),
        FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses })
            if clauses.is_empty() =>
        {
            args.iter_mut()
                .filter_map(|arg| match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(Ok(expr)),
                    // `count(*)`
                    FunctionArg::Unnamed(FunctionArgExpr::Wildcard) => None,
                    _ => Some(Err(other())),
                })
                .collect()
        }
        FunctionArguments::List(_) => Err(other()),
    }
}

/// The sub-select directly under an expression, and whether it is the whole of it.
pub(super) fn subselect(expr: &mut Expr) -> Option<&mut Query> {
    match expr {
        Expr::Subquery(query)
        | Expr::Exists { subquery: query, .. }
        | Expr::InSubquery { subquery: query, .. }
        | Expr::Function(Function { args: FunctionArguments::Subquery(query), .. }) => Some(query),
        _ => None,
    }
}

/// Whether it is a constant as it stands, of a type of `pg_catalog`.
pub(super) fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Value(_) | Expr::TypedString(_) => true,
        Expr::Nested(inner) => is_literal(inner),
        Expr::Cast { expr: inner, data_type, .. } => {
            is_literal(inner) && !matches!(data_type, DataType::Custom(name, _) if name.0.len() > 1)
        }
        _ => false,
    }
}

pub(super) fn value(value: Value) -> Expr {
    Expr::Value(ValueWithSpan::from(value))
}

/// The parts of a chain of `and`.
pub(super) fn conjuncts(expr: Expr) -> Vec<Expr> {
    match expr {
        Expr::Nested(inner) => conjuncts(*inner),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            let mut parts = conjuncts(*left);
            parts.extend(conjuncts(*right));
            parts
        }
        other => vec![other],
    }
}

/// All of `parts`, which may be none.
pub(super) fn all(parts: Vec<Expr>) -> Option<Expr> {
    parts.into_iter().map(|part| Expr::Nested(Box::new(part))).reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::And,
        right: Box::new(right),
    })
}

/// The body of a query that is one `select`.
pub(super) fn select_of(query: &mut Query) -> Option<&mut sqlparser::ast::Select> {
    match &mut *query.body {
        SetExpr::Select(select) => Some(select),
        _ => None,
    }
}
