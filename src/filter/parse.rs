//! From text to [`Expr`]: `sqlparser` reads it, and what it made of it is checked against PostgreSQL's grammar.

mod literal;

use sqlparser::ast::{self, BinaryOperator, CastKind, DataType, Ident, Spanned, UnaryOperator};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use super::error::Error;
use super::lex;
use super::param::Param;
use super::precedence;
use super::reserved::is_reserved;
use super::syntax::{Comparison, Expr, Like, Name, Node, Positions};

/// Levels of the parser's own recursion: about two for each level of parentheses that `lex` lets through.
const RECURSION: usize = 256;

/// Levels of the tree: chains of `->`, `::` and `not` nest without parentheses.
const DEPTH: usize = 128;

/// As many as anyone binds by hand; a longer list is one array.
const PARAMS: usize = 256;

/// Bytes of all parameters together: some ten thousand ids.
const PARAM_BYTES: usize = 256 * 1024;

/// Reads `text` as exactly one expression; `params` take the places of `$1`, `$2`, ….
pub(super) fn expression(text: &str, params: &[Param]) -> Result<Expr, Error> {
    check_params(params)?;
    trusted_expression(text, params)
}

/// The same, with parameters of any length.
pub(super) fn trusted_expression(text: &str, params: &[Param]) -> Result<Expr, Error> {
    let positions = Positions::of(text);
    let tokens = lex::tokens(text, &positions)?;
    if tokens.is_empty() {
        return Err(Error::syntax(1, "the filter is empty: leave `where` out to see every row"));
    }
    let expr = whole(tokens, &positions, Parser::parse_expr)?;
    let mut reader = Reader { positions: &positions, params, used: vec![false; params.len()], depth: 0 };
    let expr = reader.expr(&expr)?;
    match reader.used.iter().position(|used| !used) {
        Some(index) => Err(Error::syntax(None, format!("parameter ${} is given but not used", index + 1))),
        None => Ok(expr),
    }
}

/// Lets `read` have all tokens, and sees to it that it takes them all.
pub(super) fn whole<'a, T>(
    tokens: Vec<sqlparser::tokenizer::TokenWithSpan>,
    positions: &Positions,
    read: impl FnOnce(&mut Parser<'a>) -> Result<T, ParserError>,
) -> Result<T, Error> {
    let mut parser =
        Parser::new(&PostgreSqlDialect {}).with_recursion_limit(RECURSION).with_tokens_with_locations(tokens);
    let value = read(&mut parser).map_err(|error| syntax_error(&error, positions))?;
    let next = parser.peek_token();
    if next.token == Token::EOF {
        Ok(value)
    } else {
        let message = format!("unexpected `{}` behind the end of the expression", next.token);
        Err(Error::syntax(positions.at(next.span.start), message))
    }
}

fn syntax_error(error: &ParserError, positions: &Positions) -> Error {
    match error {
        ParserError::RecursionLimitExceeded => Error::unsupported(1, "the expression is nested too deep"),
        ParserError::ParserError(message) | ParserError::TokenizerError(message) => {
            let (message, location) = lex::split_location(message);
            let position = location.and_then(|location| positions.at(location));
            Error::syntax(position.unwrap_or(positions.end()), lex::lower_first(message))
        }
    }
}

fn check_params(params: &[Param]) -> Result<(), Error> {
    fn bytes(param: &Param) -> usize {
        match param {
            Param::Null | Param::Bool(_) => 1,
            Param::Number(text) | Param::Text(text) => text.len() + 1,
            // Elements are no arrays: those that are get refused below.
            Param::Array(items) => {
                items.iter().map(|item| if let Param::Array(_) = item { 1 } else { bytes(item) }).sum()
            }
        }
    }
    if params.len() > PARAMS {
        return Err(Error::unsupported(None, format!("more than {PARAMS} parameters: pass lists as arrays")));
    }
    let total: usize = params.iter().map(bytes).sum();
    if total > PARAM_BYTES {
        let message = format!("the parameters have {total} bytes, more than {PARAM_BYTES}");
        return Err(Error::unsupported(None, message));
    }
    Ok(())
}

/// A name by PostgreSQL's rules: what is not quoted is folded, ASCII only, as in a database of UTF-8.
pub(super) fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}

struct Reader<'a> {
    positions: &'a Positions,
    params: &'a [Param],
    used: Vec<bool>,
    depth: usize,
}

impl Reader<'_> {
    fn position(&self, expr: &ast::Expr) -> usize {
        self.positions.at(expr.span().start).unwrap_or(1)
    }

    fn boxed(&mut self, expr: &ast::Expr) -> Result<Box<Expr>, Error> {
        self.expr(expr).map(Box::new)
    }

    fn expr(&mut self, expr: &ast::Expr) -> Result<Expr, Error> {
        let position = self.position(expr);
        if self.depth == DEPTH {
            return Err(Error::unsupported(position, format!("an expression nested more than {DEPTH} deep")));
        }
        self.depth += 1;
        let expr = self.shallow(expr, position);
        self.depth -= 1;
        expr
    }

    fn shallow(&mut self, expr: &ast::Expr, position: usize) -> Result<Expr, Error> {
        if let Some(child) = precedence::misread(expr) {
            return Err(Error::unsupported(
                self.position(child),
                "put this part in parentheses: without them it may be read in more than one way",
            ));
        }
        let node = match expr {
            ast::Expr::Nested(inner) => return self.expr(inner),
            // sqlparser takes a keyword where it expects a value; PostgreSQL does not.
            ast::Expr::Identifier(ident)
                if ident.quote_style.is_none() && is_reserved(&ident.value.to_ascii_lowercase()) =>
            {
                let message = format!("`{}` stands where a value should", ident.value);
                return Err(Error::syntax(position, message));
            }
            ast::Expr::Identifier(ident) => Node::Column(Name { qualifier: Vec::new(), column: fold(ident) }),
            ast::Expr::CompoundIdentifier(idents) => compound(idents, position)?,
            ast::Expr::IsNull(inner) => Node::Null(self.boxed(inner)?),
            ast::Expr::IsNotNull(inner) => {
                self.negated(true, position, |this| Ok(Node::Null(this.boxed(inner)?)))?
            }
            ast::Expr::IsTrue(inner) => Node::Truth(self.boxed(inner)?, Some(true)),
            ast::Expr::IsFalse(inner) => Node::Truth(self.boxed(inner)?, Some(false)),
            ast::Expr::IsUnknown(inner) => Node::Truth(self.boxed(inner)?, None),
            ast::Expr::IsNotTrue(inner) => self.truth(inner, Some(true), position)?,
            ast::Expr::IsNotFalse(inner) => self.truth(inner, Some(false), position)?,
            ast::Expr::IsNotUnknown(inner) => self.truth(inner, None, position)?,
            ast::Expr::IsDistinctFrom(left, right) => Node::Distinct(self.boxed(left)?, self.boxed(right)?),
            ast::Expr::IsNotDistinctFrom(left, right) => self
                .negated(true, position, |this| Ok(Node::Distinct(this.boxed(left)?, this.boxed(right)?)))?,
            ast::Expr::InList { expr, list, negated } => self.negated(*negated, position, |this| {
                let items = list.iter().map(|item| this.expr(item)).collect::<Result<_, _>>()?;
                Ok(Node::In(this.boxed(expr)?, items))
            })?,
            ast::Expr::Between { expr, negated, low, high } => {
                self.negated(*negated, position, |this| this.between(expr, low, high))?
            }
            ast::Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.negated(*negated, position, |this| {
                    this.like(expr, pattern, escape_char.as_deref(), false)
                })?
            }
            ast::Expr::ILike { negated, any: false, expr, pattern, escape_char } => {
                self.negated(*negated, position, |this| {
                    this.like(expr, pattern, escape_char.as_deref(), true)
                })?
            }
            ast::Expr::AnyOp { .. } | ast::Expr::AllOp { .. } => self.quantified(expr, position)?,
            ast::Expr::BinaryOp { left, op, right } => self.binary(left, op, right, position)?,
            ast::Expr::UnaryOp { op: UnaryOperator::Not, expr } => Node::Not(self.boxed(expr)?),
            ast::Expr::Cast {
                kind: CastKind::Cast | CastKind::DoubleColon,
                expr: inner,
                data_type: DataType::Text,
                format: None,
                ..
            } if reads_row(inner) => Node::AsText(self.boxed(inner)?),
            other => Node::Literal(self.literal(other)?),
        };
        Ok(Expr { node, position })
    }

    /// `= any (…)`, `<> all (…)`
    fn quantified(&mut self, expr: &ast::Expr, position: usize) -> Result<Node, Error> {
        match expr {
            ast::Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => {
                Ok(Node::Any(self.boxed(left)?, self.boxed(right)?))
            }
            // `<> all` is the negation of `= any`, nulls included.
            ast::Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => {
                self.negated(true, position, |this| Ok(Node::Any(this.boxed(left)?, this.boxed(right)?)))
            }
            ast::Expr::AnyOp { .. } => {
                Err(Error::unsupported(position, "of comparisons with `any`, only `= any` is supported"))
            }
            ast::Expr::AllOp { .. } => {
                Err(Error::unsupported(position, "of comparisons with `all`, only `<> all` is supported"))
            }
            _ => Err(unsupported(position, "this expression")),
        }
    }

    fn negated(
        &mut self,
        negated: bool,
        position: usize,
        node: impl FnOnce(&mut Self) -> Result<Node, Error>,
    ) -> Result<Node, Error> {
        let node = node(self)?;
        Ok(if negated { Node::Not(Box::new(Expr { node, position })) } else { node })
    }

    fn truth(&mut self, inner: &ast::Expr, truth: Option<bool>, position: usize) -> Result<Node, Error> {
        self.negated(true, position, |this| Ok(Node::Truth(this.boxed(inner)?, truth)))
    }

    fn between(&mut self, expr: &ast::Expr, low: &ast::Expr, high: &ast::Expr) -> Result<Node, Error> {
        let subject = self.expr(expr)?;
        let position = subject.position;
        let side = |comparison, subject: Expr, bound: Expr| Expr {
            node: Node::Compare(Box::new(subject), comparison, Box::new(bound)),
            position,
        };
        Ok(Node::And(vec![
            side(Comparison::GreaterOrEqual, subject.clone(), self.expr(low)?),
            side(Comparison::LessOrEqual, subject, self.expr(high)?),
        ]))
    }

    fn like(
        &mut self,
        subject: &ast::Expr,
        pattern: &ast::Expr,
        escape: Option<&ast::Expr>,
        any_case: bool,
    ) -> Result<Node, Error> {
        Ok(Node::Like(Box::new(Like {
            subject: self.expr(subject)?,
            pattern: self.expr(pattern)?,
            escape: escape.map(|escape| self.expr(escape)).transpose()?,
            any_case,
        })))
    }

    fn binary(
        &mut self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
        position: usize,
    ) -> Result<Node, Error> {
        let comparison = match op {
            BinaryOperator::Eq => Some(Comparison::Equal),
            BinaryOperator::NotEq => Some(Comparison::NotEqual),
            BinaryOperator::Lt => Some(Comparison::Less),
            BinaryOperator::LtEq => Some(Comparison::LessOrEqual),
            BinaryOperator::Gt => Some(Comparison::Greater),
            BinaryOperator::GtEq => Some(Comparison::GreaterOrEqual),
            _ => None,
        };
        if let Some(comparison) = comparison {
            return Ok(Node::Compare(self.boxed(left)?, comparison, self.boxed(right)?));
        }
        Ok(match op {
            BinaryOperator::And => Node::And(self.chain(left, op, right)?),
            BinaryOperator::Or => Node::Or(self.chain(left, op, right)?),
            BinaryOperator::PGLikeMatch => self.like(left, right, None, false)?,
            BinaryOperator::PGILikeMatch => self.like(left, right, None, true)?,
            BinaryOperator::PGNotLikeMatch => {
                self.negated(true, position, |this| this.like(left, right, None, false))?
            }
            BinaryOperator::PGNotILikeMatch => {
                self.negated(true, position, |this| this.like(left, right, None, true))?
            }
            BinaryOperator::AtArrow => Node::Contains(self.boxed(left)?, self.boxed(right)?),
            BinaryOperator::ArrowAt => Node::Contains(self.boxed(right)?, self.boxed(left)?),
            BinaryOperator::PGOverlap => Node::Overlaps(self.boxed(left)?, self.boxed(right)?),
            BinaryOperator::Question => Node::Exists(self.boxed(left)?, self.boxed(right)?),
            BinaryOperator::Arrow | BinaryOperator::LongArrow => Node::Field {
                base: self.boxed(left)?,
                key: self.boxed(right)?,
                text: *op == BinaryOperator::LongArrow,
            },
            other => {
                return Err(Error::unsupported(
                    position,
                    format!("the operator `{other}` is not supported in a filter"),
                ));
            }
        })
    }

    /// The operands of a chain of one connective. A chain leans to the left as far as it is long, and so is walked in
    /// a loop.
    fn chain(
        &mut self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
    ) -> Result<Vec<Expr>, Error> {
        let mut operands = vec![right];
        let mut rest = left;
        while let ast::Expr::BinaryOp { left, op: inner, right } = rest
            && inner == op
            && precedence::misread(rest).is_none()
        {
            operands.push(right);
            rest = left;
        }
        operands.push(rest);
        operands.into_iter().rev().map(|operand| self.expr(operand)).collect()
    }
}

/// A column, or a path into one.
fn reads_row(expr: &ast::Expr) -> bool {
    match expr {
        ast::Expr::Nested(inner) => reads_row(inner),
        ast::Expr::Identifier(ident) => {
            ident.quote_style.is_some() || !is_reserved(&ident.value.to_ascii_lowercase())
        }
        ast::Expr::CompoundIdentifier(_) => true,
        ast::Expr::BinaryOp { left, op: BinaryOperator::Arrow | BinaryOperator::LongArrow, .. } => {
            reads_row(left)
        }
        _ => false,
    }
}

fn unsupported(position: usize, what: &str) -> Error {
    Error::unsupported(position, format!("{what} is not supported in a filter"))
}

/// `table.column`, `schema.table.column`
fn compound(idents: &[Ident], position: usize) -> Result<Node, Error> {
    match idents.split_last() {
        Some((column, qualifier)) if qualifier.len() <= 2 => {
            Ok(Node::Column(Name { qualifier: qualifier.iter().map(fold).collect(), column: fold(column) }))
        }
        _ => Err(unsupported(position, "a name of more than three parts")),
    }
}
