//! From a table's policies, as a role has them, to what is left to be asked and judged.
//!
//! ```text
//!  (author = auth.uid()) and board_id in (select board_id from members where user_id = auth.uid())
//!
//!  residual   row.author = fold 0 and row.board_id = any (set 0)
//!  folds      auth.uid()                                                  asked as the identity, once
//!  sets       select board_id from members where user_id = auth.uid()    asked as the identity, once
//!  guards     members: user_id = fold 1, columns board_id, user_id       watched in the journal from there on
//! ```

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use sqlparser::ast::{BinaryOperator, Expr, Ident, Query, UnaryOperator, Value, visit_expressions};

use super::Refusal;
use super::check::Within;
use super::expression::{children, expression, is_literal, scalar, subselect, value};
use super::ident::quoted;
use super::library::Library;
use super::rows::{as_row_column, mark, reads_row};
use super::scene::Scene;
use super::set::array_query;
use crate::event::{Column, Table};
use crate::postgres::policy::PolicyText;

/// What a role's policies on a table come to, for any identity.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// What is judged on rows: with folds and sets in their places. `None`: no policy applies.
    pub(super) judged: Option<Judged>,
    /// Asked as the identity.
    pub(super) folds: Vec<Expr>,
    pub(super) sets: Vec<Set>,
    pub(super) guards: Vec<Guard>,
    /// What who asks has to be allowed for all this, asked as the identity; and what is said where it is not.
    pub(super) privileges: BTreeMap<String, String>,
}

impl Plan {
    /// The folds as they are asked. One that stands nowhere in the end was put aside for a part that is computed as a whole,
    /// and which might not have come to it: it is not computed, since it might raise.
    pub(super) fn asked(&self) -> impl Iterator<Item = String> {
        let mut used = vec![false; self.folds.len()];
        let judged =
            self.judged.iter().flat_map(|judged| judged.permissive.iter().chain(&judged.restrictive));
        let watched = self.guards.iter().flat_map(|guard| &guard.conjuncts);
        for expr in judged.map(|(_, expr)| expr).chain(watched) {
            let _: ControlFlow<()> = visit_expressions(expr, |expr| {
                if let Expr::Identifier(ident) = expr
                    && let Some(used) = fold_index(ident).and_then(|index| used.get_mut(index))
                {
                    *used = true;
                }
                ControlFlow::Continue(())
            });
        }
        self.folds
            .iter()
            .zip(used)
            .map(|(fold, used)| if used { fold.to_string() } else { "null".to_owned() })
    }
}

/// What is left of each policy, which has a name.
#[derive(Clone, Debug, Default)]
pub(super) struct Judged {
    /// Any of these has to be true, and there is none where there is none.
    pub(super) permissive: Vec<(String, Expr)>,
    /// And all of these.
    pub(super) restrictive: Vec<(String, Expr)>,
}

/// The values that a column of the row is looked for among.
#[derive(Clone, Debug)]
pub(super) struct Set {
    /// The policy that it is of.
    pub(super) policy: String,
    pub(super) source: Source,
    /// The row's column, if it is one as it stands.
    pub(super) column: Option<String>,
    /// `pg_type.oid` of what is looked for, of a domain the base type's.
    pub(super) sought: u32,
    /// The guard over the table that the values come from, and the column there that they are, where that is all to it.
    pub(super) key: Option<(usize, String)>,
}

impl Set {
    /// Whether its values are asked for as the identity.
    pub(super) const fn is_asked(&self) -> bool {
        matches!(self.source, Source::Identity(_))
    }
}

#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A query, asked as the identity.
    Identity(Box<Query>),
    /// Of a `security definer` function whose owner is bound by no policy: the rows of the guard's table that its filter
    /// matches, all of it.
    Definer,
}

/// A table on which what was asked depends.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    pub(super) table: Arc<Table>,
    /// Only rows of which all of these are true count; what cannot be judged here is left out.
    pub(super) conjuncts: Vec<Expr>,
    /// Whether nothing was left out.
    pub(super) exact: bool,
    /// The columns that count: indexes into the table's.
    pub(super) columns: Vec<usize>,
}

/// What stands for a fold.
pub(super) fn fold_name(index: usize) -> String {
    format!("{FOLD}{index}»")
}

const FOLD: &str = "«fold ";

/// Which fold it stands for.
pub(super) fn fold_index(ident: &Ident) -> Option<usize> {
    ident.value.strip_prefix(FOLD)?.strip_suffix('»')?.parse().ok()
}

/// Whether it stands for a fold.
pub(super) fn is_fold(ident: &Ident) -> bool {
    fold_index(ident).is_some()
}

/// What stands for a set.
pub(super) fn set_name(index: usize) -> String {
    format!("{SET}{index}»")
}

const SET: &str = "«set ";

/// Whether it stands for a set.
fn is_set(ident: &Ident) -> bool {
    ident.value.starts_with(SET)
}

/// Works a plan out.
pub(super) struct Planner<'a> {
    pub(super) scene: &'a Scene<'a>,
    pub(super) library: &'a Library,
    pub(super) plan: Plan,
    /// Tables whose policies are being looked into: PostgreSQL refuses a circle when it is asked, so does this.
    pub(super) open: HashSet<u32>,
    /// Tables whose grants or policies have been looked at.
    pub(super) seen: BTreeSet<u32>,
    /// The columns of the row, with the types that each is of: as declared, and a domain's base type.
    pub(super) row: Vec<(Arc<str>, [u32; 2])>,
    /// How many columns sub-selects have read whose order is not that of their bytes.
    pub(super) ordered_elsewhere: usize,
}

impl<'a> Planner<'a> {
    pub(super) fn new(scene: &'a Scene<'a>, library: &'a Library) -> Self {
        Self {
            scene,
            library,
            plan: Plan::default(),
            open: HashSet::new(),
            seen: BTreeSet::new(),
            row: Vec::new(),
            ordered_elsewhere: 0,
        }
    }

    /// Adds the policies of the table itself.
    ///
    /// # Errors
    /// What of them cannot be followed exactly.
    pub(super) fn table(&mut self, table: &Table) -> Result<(), Refusal> {
        self.seen.insert(table.oid);
        let Some(access) = self.scene.access(table.oid) else {
            let reason = "may be bound by policies: what the role may see of it is not known yet";
            return Err(Refusal::part(&table.name.to_string(), reason));
        };
        if !access.row_security {
            return Ok(());
        }
        self.open.insert(table.oid);
        let mut judged = Judged::default();
        for policy in &access.policies {
            let Some(reduced) = self.policy(table, policy)? else { continue };
            let parts = if policy.permissive { &mut judged.permissive } else { &mut judged.restrictive };
            parts.push((policy.name.clone(), reduced));
        }
        self.open.remove(&table.oid);
        self.plan.judged = Some(judged);
        Ok(())
    }

    /// What is left of one policy; `None` of one that is for writing only and says nothing of what is seen.
    pub(super) fn policy(&mut self, table: &Table, policy: &PolicyText) -> Result<Option<Expr>, Refusal> {
        let Some(text) = &policy.expression else { return Ok(None) };
        let types = |column: &Column| (column.name.clone(), [column.type_oid, column.kind.oid]);
        self.row = table.columns.iter().map(types).collect();
        let before = self.plan.sets.len();
        let reduced = expression(text)
            .and_then(|mut expr| mark(&mut expr, table, &[]).map(|()| expr))
            .and_then(|expr| self.reduce(expr, &Within::policy()))
            .map_err(|refusal| refusal.of(&policy.name, &table.name))?;
        self.plan.sets[before..].iter_mut().for_each(|set| set.policy.clone_from(&policy.name));
        Ok(Some(reduced))
    }

    /// Brings an expression to what is left to be judged on a row.
    pub(super) fn reduce(&mut self, expr: Expr, within: &Within) -> Result<Expr, Refusal> {
        let is_done = matches!(&expr, Expr::Identifier(ident) if is_fold(ident) || is_set(ident));
        if as_row_column(&expr).is_some() || is_literal(&expr) || is_done {
            return Ok(expr);
        }
        if !reads_row(&expr) {
            self.check(&mut expr.clone(), within)?;
            return self.fold(expr, within);
        }
        let mut expr = match expr {
            Expr::Nested(inner) => {
                return self.reduce(*inner, within).map(|inner| Expr::Nested(Box::new(inner)));
            }
            // `(select a = b)`: planners are made to compute it once by that.
            Expr::Subquery(query) if scalar(&query).is_some() => {
                let inner = scalar(&query).cloned().expect("it was just there");
                return self.reduce(inner, within).map(|inner| Expr::Nested(Box::new(inner)));
            }
            Expr::InSubquery { expr, subquery, negated } => {
                return self.in_query(*expr, *subquery, negated, within);
            }
            Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } if !reads_row(&*right) => {
                if let Some(query) = array_query(&right) {
                    return self.in_query(*left, query, false, within);
                }
                let left = self.reduce(*left, within)?;
                return Ok(any(left, self.reduce(*right, within)?));
            }
            // `x in (a, b)`, as PostgreSQL writes it where `a` and `b` are of the row.
            Expr::AnyOp { left, compare_op: op @ BinaryOperator::Eq, right, .. }
                if elements(&right).is_some() =>
            {
                return self.reduce(each(&left, &op, &right, &BinaryOperator::Or), within);
            }
            Expr::AllOp { left, compare_op: op @ BinaryOperator::NotEq, right }
                if reads_row(&*right) && elements(&right).is_some() =>
            {
                return self.reduce(each(&left, &op, &right, &BinaryOperator::And), within);
            }
            Expr::Exists { subquery, negated } => {
                let found = self.exists(*subquery, within)?;
                return Ok(if negated { not(found) } else { found });
            }
            Expr::Function(call) => return self.inline(call, within),
            other => other,
        };
        if subselect(&mut expr).is_some() {
            let shown = expr.to_string();
            return Err(Refusal::part(&shown, "depends on the row in another way than by `in` or `exists`"));
        }
        let connects = matches!(&expr, Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. });
        let within = &Within { positive: within.positive && connects, ..within.clone() };
        let (orders, before) = (orders(&expr), self.ordered_elsewhere);
        let shown = expr.to_string();
        for child in children(&mut expr)? {
            let owned = std::mem::replace(child, value(Value::Null));
            *child = self.reduce(owned, within)?;
        }
        if orders && self.ordered_elsewhere > before {
            return Err(Refusal::part(&shown, "may order texts by the collation of a sub-select's column"));
        }
        Ok(expr)
    }

    /// Has PostgreSQL compute a part, which holds nothing of the row.
    pub(super) fn fold(&mut self, mut expr: Expr, within: &Within) -> Result<Expr, Refusal> {
        if within.definer.is_some() && !self.is_the_same_for_a_definer(&expr, within) {
            let reason =
                "is computed as the owner of a `security definer` function, and so cannot be computed ahead";
            return Err(Refusal::part(&expr.to_string(), reason));
        }
        self.spell_out(&mut expr, within)?;
        let index = self.plan.folds.iter().position(|fold| *fold == expr).unwrap_or_else(|| {
            self.plan.folds.push(expr);
            self.plan.folds.len() - 1
        });
        Ok(Expr::Identifier(quoted(&fold_name(index))))
    }
}

/// The elements of `array[…]`, at least one.
fn elements(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::Nested(inner) => elements(inner),
        Expr::Array(array) => Some(array.elem.as_slice()).filter(|elements| !elements.is_empty()),
        _ => None,
    }
}

/// `left op a connect left op b …` for the elements `a`, `b` of an array.
fn each(left: &Expr, op: &BinaryOperator, array: &Expr, connect: &BinaryOperator) -> Expr {
    let binary = |left: Expr, op: &BinaryOperator, right: Expr| Expr::BinaryOp {
        left: Box::new(left),
        op: op.clone(),
        right: Box::new(right),
    };
    let parts = elements(array).unwrap_or_default().iter();
    let parts = parts.map(|element| {
        let element = Expr::Nested(Box::new(element.clone()));
        Expr::Nested(Box::new(binary(left.clone(), op, element)))
    });
    let whole = parts.reduce(|whole, part| binary(whole, connect, part)).expect("one at least");
    Expr::Nested(Box::new(whole))
}

/// Whether it compares by order.
const fn orders(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Between { .. }
            | Expr::BinaryOp {
                op: BinaryOperator::Lt | BinaryOperator::LtEq | BinaryOperator::Gt | BinaryOperator::GtEq,
                ..
            }
    )
}

/// `not (expr)`
pub(super) fn not(expr: Expr) -> Expr {
    Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(Expr::Nested(Box::new(expr))) }
}

/// `left = any (right)`
pub(super) fn any(left: Expr, right: Expr) -> Expr {
    Expr::AnyOp {
        left: Box::new(left),
        compare_op: BinaryOperator::Eq,
        right: Box::new(right),
        is_some: false,
    }
}
