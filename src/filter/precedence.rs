//! PostgreSQL's operator precedence, to catch a tree that PostgreSQL would have built otherwise.
//!
//! A tree in which every part without parentheses binds tighter than what it is a part of is the only reading of its
//! text. Any other tree may or may not be PostgreSQL's, and is refused: whoever wrote it says with parentheses what
//! they mean.
//!
//! See <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-PRECEDENCE>.

use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Or,
    And,
    Not,
    Is,
    Comparison,
    Membership,
    Other,
    Sign,
    Cast,
    Atom,
}

fn level(expr: &Expr) -> Level {
    match expr {
        Expr::BinaryOp { op, .. } => match op {
            BinaryOperator::Or => Level::Or,
            BinaryOperator::And => Level::And,
            BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq => Level::Comparison,
            _ => Level::Other,
        },
        Expr::UnaryOp { op: UnaryOperator::Not, .. } => Level::Not,
        Expr::UnaryOp { .. } => Level::Sign,
        Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotUnknown(_)
        | Expr::IsDistinctFrom(..)
        | Expr::IsNotDistinctFrom(..) => Level::Is,
        Expr::InList { .. } | Expr::Between { .. } | Expr::Like { .. } | Expr::ILike { .. } => {
            Level::Membership
        }
        // `= any (…)` has the precedence of «any other operator», whatever its sign.
        Expr::AnyOp { .. } | Expr::AllOp { .. } => Level::Other,
        Expr::Cast { kind: sqlparser::ast::CastKind::DoubleColon, .. } => Level::Cast,
        _ => Level::Atom,
    }
}

/// A part of `expr` that would need parentheses to be surely a part of it.
pub(super) fn misread(expr: &Expr) -> Option<&Expr> {
    let own = level(expr);
    let looser = |part: &Expr| level(part) < own;
    let not_tighter = |part: &Expr| level(part) <= own;
    match expr {
        // Comparisons do not chain; all other binary operators do, to the left.
        Expr::BinaryOp { left, right, .. } => {
            let left_blamed = if own == Level::Comparison { not_tighter(left) } else { looser(left) };
            if left_blamed { Some(left) } else { not_tighter(right).then_some(right) }
        }
        // Prefix operators repeat.
        Expr::UnaryOp { expr: part, .. }
        | Expr::AnyOp { left: part, .. }
        | Expr::AllOp { left: part, .. } => looser(part).then_some(part),
        Expr::Cast { expr: part, .. } if own == Level::Cast => looser(part).then_some(part),
        Expr::IsNull(part)
        | Expr::IsNotNull(part)
        | Expr::IsTrue(part)
        | Expr::IsNotTrue(part)
        | Expr::IsFalse(part)
        | Expr::IsNotFalse(part)
        | Expr::IsUnknown(part)
        | Expr::IsNotUnknown(part)
        | Expr::InList { expr: part, .. } => not_tighter(part).then_some(part),
        Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
            [left, right].into_iter().map(|part| &**part).find(|part| not_tighter(part))
        }
        Expr::Between { expr, low, high, .. } => {
            [expr, low, high].into_iter().map(|part| &**part).find(|part| not_tighter(part))
        }
        Expr::Like { expr, pattern, escape_char, .. } | Expr::ILike { expr, pattern, escape_char, .. } => {
            [expr, pattern].into_iter().chain(escape_char).map(|part| &**part).find(|part| not_tighter(part))
        }
        _ => None,
    }
}
