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

use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use sqlparser::ast::{BinaryOperator, Expr, Query, UnaryOperator, Value, visit_expressions};

use super::Refusal;
use super::check::Within;
use super::expression::{children, expression, is_literal, quoted, scalar, subselect, value};
use super::library::{IDENTITY, Library, name_parts};
use super::rows::{as_row_column, mark, reads_row};
use super::scene::Scene;
use super::set::array_query;
use crate::event::Table;
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
    pub(super) source: Source,
    /// The row's column, if it is one as it stands.
    pub(super) column: Option<String>,
    /// The guard over the table that the values come from, and the column there that they are, where that is all to it.
    pub(super) key: Option<(usize, String)>,
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
    format!("«fold {index}»")
}

/// What stands for a set.
pub(super) fn set_name(index: usize) -> String {
    format!("«set {index}»")
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
}

impl<'a> Planner<'a> {
    pub(super) fn new(scene: &'a Scene<'a>, library: &'a Library) -> Self {
        Self { scene, library, plan: Plan::default(), open: HashSet::new(), seen: BTreeSet::new() }
    }

    /// Adds the policies of the table itself.
    ///
    /// # Errors
    /// What of them cannot be followed exactly.
    pub(super) fn table(&mut self, table: &Table) -> Result<(), Refusal> {
        self.seen.insert(table.oid);
        let access = self.scene.access(table.oid);
        let Some(access) = access.filter(|access| access.row_security) else { return Ok(()) };
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
        expression(text)
            .and_then(|mut expr| mark(&mut expr, table, &[]).map(|()| expr))
            .and_then(|expr| self.reduce(expr, &Within::policy()))
            .map(Some)
            .map_err(|refusal| refusal.of(&policy.name, &table.name))
    }

    /// Brings an expression to what is left to be judged on a row.
    pub(super) fn reduce(&mut self, expr: Expr, within: &Within) -> Result<Expr, Refusal> {
        if as_row_column(&expr).is_some() || is_literal(&expr) {
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
        for child in children(&mut expr)? {
            let owned = std::mem::replace(child, value(Value::Null));
            *child = self.reduce(owned, within)?;
        }
        Ok(expr)
    }

    /// Has PostgreSQL compute a part, which holds nothing of the row.
    pub(super) fn fold(&mut self, expr: Expr, within: &Within) -> Result<Expr, Refusal> {
        if within.definer.is_some() && !is_the_same_for_a_definer(&expr) {
            let reason =
                "is computed as the owner of a `security definer` function, and so cannot be computed ahead";
            return Err(Refusal::part(&expr.to_string(), reason));
        }
        let index = self.plan.folds.iter().position(|fold| *fold == expr).unwrap_or_else(|| {
            self.plan.folds.push(expr);
            self.plan.folds.len() - 1
        });
        Ok(Expr::Identifier(quoted(&fold_name(index))))
    }
}

/// Whether an expression comes to the same for the identity as for the owner of a function that it stands in: nothing in
/// it asks who that is, directly or not.
pub(super) fn is_the_same_for_a_definer(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |expr| match expr {
        Expr::Subquery(query) if scalar(query).is_none() => ControlFlow::Break(()),
        Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
        Expr::Function(call) => match name_parts(&call.name).as_deref() {
            Some([name]) if IDENTITY.contains(&name.as_str()) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        },
        _ => ControlFlow::Continue(()),
    });
    found.is_continue()
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
