//! Names in parts of a function's body, for when they are asked outside of it.

use std::ops::ControlFlow;

use sqlparser::ast::{
    DataType, Expr, Function as Call, FunctionArguments, ObjectName, VisitMut, visit_expressions,
    visit_expressions_mut, visit_relations_mut,
};

use super::Refusal;
use super::check::Within;
use super::expression::{Body, quoted, scalar};
use super::library::{Callable, IDENTITY, name_parts, schemas};
use super::plan::{Planner, fold_index};

impl Planner<'_> {
    /// Has a part mean the same outside of the function that it stands in: folds in it are what they stand for, and names
    /// that the function's own `search_path` finds have their schema.
    ///
    /// # Errors
    /// A name of a kind that cannot be looked for here.
    pub(super) fn spell_out<V: VisitMut>(&self, node: &mut V, within: &Within) -> Result<(), Refusal> {
        let _: ControlFlow<()> = visit_expressions_mut(node, |expr| {
            if let Expr::Identifier(ident) = expr
                && let Some(fold) = fold_index(ident).and_then(|index| self.plan.folds.get(index))
            {
                *expr = Expr::Nested(Box::new(fold.clone()));
            }
            ControlFlow::Continue(())
        });
        if within.depth == 0 || within.schemas == schemas(&self.scene.search_path) {
            return Ok(());
        }
        let named = visit_expressions_mut(node, |expr| match self.spell_out_one(expr, within) {
            Ok(()) => ControlFlow::Continue(()),
            Err(refusal) => ControlFlow::Break(refusal),
        });
        if let ControlFlow::Break(refusal) = named {
            return Err(refusal);
        }
        let read = visit_relations_mut(node, |name| {
            let [part] = name.0.as_slice() else { return ControlFlow::Continue(()) };
            let Some(own) = part.as_ident().map(super::rows::fold) else { return ControlFlow::Continue(()) };
            match self.scene.table(None, &own, &within.schemas) {
                Ok(table) => {
                    *name = ObjectName::from(vec![quoted(&table.name.schema), quoted(&table.name.name)]);
                    ControlFlow::Continue(())
                }
                Err(refusal) => ControlFlow::Break(refusal),
            }
        });
        read.break_value().map_or(Ok(()), Err)
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
            Ok(Callable::Sql(function, Body::Expression(expr))) => within
                .function(function, &self.scene.search_path)
                .map_or(true, |inner| !self.is_the_same_for_a_definer(expr, &inner)),
            Ok(Callable::Sql(_, Body::Query(_))) => true,
        }
    }
}

/// How many arguments a call has.
fn count(call: &Call) -> usize {
    match &call.args {
        FunctionArguments::List(list) => list.args.len(),
        FunctionArguments::None | FunctionArguments::Subquery(_) => 0,
    }
}
