//! Names in parts of a function's body, for when they are asked outside of it.

use std::ops::ControlFlow;

use sqlparser::ast::{
    DataType, Expr, Function as Call, FunctionArguments, ObjectName, TableFactor, VisitMut, VisitorMut,
    visit_expressions, visit_expressions_mut,
};

use super::Refusal;
use super::check::Within;
use super::expression::{Body, scalar};
use super::ident::{fold, name_parts, quoted, schemas};
use super::library::{Callable, IDENTITY};
use super::plan::{Planner, fold_index};
use crate::event::{Class, Column};

impl Planner<'_> {
    /// Has a part mean the same outside of the function that it stands in: folds in it are what they stand for, and names
    /// that the function's own `search_path` finds have their schema.
    ///
    /// # Errors
    /// A name of a kind that cannot be looked for here.
    pub(super) fn spell_out<V: VisitMut>(&self, node: &mut V, within: &Within) -> Result<(), Refusal> {
        let session = schemas(&self.scene.search_path);
        if within.depth > 0 && within.schemas != session {
            let mut names = Names { planner: self, within, reads_own_types: false };
            if let ControlFlow::Break(refusal) = node.visit(&mut names) {
                return Err(refusal);
            }
            if names.reads_own_types
                && let Some(schema) = self.library.operators_apart(&within.schemas, &session)
            {
                let reason = "has operators, and is in the function's search_path or in `policy.search_path`, not in both";
                return Err(Refusal::part(schema, reason));
            }
        }
        // Last: what they stand for was spelled out when it was put aside.
        let _: ControlFlow<()> = visit_expressions_mut(node, |expr| {
            if let Expr::Identifier(ident) = expr
                && let Some(fold) = fold_index(ident).and_then(|index| self.plan.folds.get(index))
            {
                *expr = Expr::Nested(Box::new(fold.clone()));
            }
            ControlFlow::Continue(())
        });
        Ok(())
    }

    fn spell_out_one(&self, expr: &mut Expr, within: &Within) -> Result<(), Refusal> {
        match expr {
            Expr::Function(call) => {
                let own = self.library.own(call, count(call), &within.schemas);
                if let Some(function) = own.filter(|_| call.name.0.len() == 1) {
                    call.name = ObjectName::from(vec![quoted(&function.schema), quoted(&function.name)]);
                }
                Ok(())
            }
            Expr::Cast { data_type: DataType::Custom(name, _), .. } if name.0.len() == 1 => {
                let reason = "names a type without its schema, in a function with a search_path of its own";
                Err(Refusal::part(&name.to_string(), reason))
            }
            _ => Ok(()),
        }
    }

    /// Whether an expression comes to the same for the identity as for the owner of a function that it stands in: nothing in
    /// it asks who that is or reads a table, directly or not.
    pub(super) fn is_the_same_for_a_definer(&self, expr: &Expr, within: &Within) -> bool {
        let found = visit_expressions(expr, |expr| match expr {
            Expr::Subquery(query) if scalar(query).is_none() => ControlFlow::Break(()),
            Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
            Expr::Function(call) if self.asks(call, within) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        found.is_continue()
    }

    /// Whether what a call gives may depend on who calls.
    fn asks(&self, call: &Call, within: &Within) -> bool {
        if let FunctionArguments::Subquery(_) = &call.args {
            return true;
        }
        if matches!(name_parts(&call.name).as_deref(), Some([name]) if IDENTITY.contains(&name.as_str())) {
            return true;
        }
        let own = self.library.own(call, count(call), &within.schemas);
        match self.library.find(call, count(call), &within.schemas) {
            Err(_) => true,
            // Of PostgreSQL's own, or immutable; or trusted to depend on the identity, which may be the one or the other.
            Ok(Callable::Plain) => {
                own.is_some_and(|function| function.definer.is_none() && !function.is_immutable())
            }
            Ok(Callable::Sql(function, _)) if function.definer.is_some() => false,
            Ok(Callable::Sql(function, body)) => {
                match (body, within.function(function, &self.scene.search_path)) {
                    (Body::Expression(expr), Ok(inner)) => !self.is_the_same_for_a_definer(expr, &inner),
                    _ => true,
                }
            }
        }
    }
}

/// Gives names their schemas.
struct Names<'a> {
    planner: &'a Planner<'a>,
    within: &'a Within,
    /// A table has a column of a type that may have operators of its own.
    reads_own_types: bool,
}

impl VisitorMut for Names<'_> {
    type Break = Refusal;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Refusal> {
        broken(self.planner.spell_out_one(expr, self.within))
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Refusal> {
        let TableFactor::Table { name, args, .. } = factor else { return ControlFlow::Continue(()) };
        let [part] = name.0.as_slice() else { return ControlFlow::Continue(()) };
        let Some(own) = part.as_ident().map(fold) else { return ControlFlow::Continue(()) };
        if let Some(args) = args {
            let found = self.planner.library.own_named(&own, args.args.len(), &self.within.schemas);
            if let Some(function) = found {
                *name = ObjectName::from(vec![quoted(&function.schema), quoted(&function.name)]);
            }
            return ControlFlow::Continue(());
        }
        let table = match self.planner.scene.table(None, &own, &self.within.schemas) {
            Ok(table) => table,
            Err(refusal) => return ControlFlow::Break(refusal),
        };
        // PostgreSQL's own types and enums have PostgreSQL's own operators.
        let is_own =
            |column: &Column| column.kind.oid >= FIRST_OID && !matches!(column.kind.class, Class::Enum(_));
        self.reads_own_types |= table.columns.iter().any(is_own);
        *name = ObjectName::from(vec![quoted(&table.name.schema), quoted(&table.name.name)]);
        ControlFlow::Continue(())
    }
}

/// `FirstNormalObjectId`: what is not PostgreSQL's own is numbered from here on.
const FIRST_OID: u32 = 16_384;

fn broken(outcome: Result<(), Refusal>) -> ControlFlow<Refusal> {
    match outcome {
        Ok(()) => ControlFlow::Continue(()),
        Err(refusal) => ControlFlow::Break(refusal),
    }
}

/// How many arguments a call has.
pub(super) fn count(call: &Call) -> usize {
    match &call.args {
        FunctionArguments::List(list) => list.args.len(),
        FunctionArguments::None | FunctionArguments::Subquery(_) => 0,
    }
}
