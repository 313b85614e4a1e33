//! Membership: a column of the row among the values that a sub-select gives.

use sqlparser::ast::{
    BinaryOperator, DataType, Expr, Function as Call, FunctionArguments, Ident, ObjectName, Query,
    SelectItem, Value,
};

use super::Refusal;
use super::check::{Guarded, Within, column_of};
use super::expression::{Body, all, arguments, conjuncts, is_literal, select_of, value};
use super::ident::quoted;
use super::library::Callable;
use super::plan::{Planner, Set, Source, any, not, set_name};
use super::rows::{as_row_column, reads_row};
use super::subselect::{From, plain_select, sources};

impl Planner<'_> {
    /// `subject in (query)`, one of them of the row.
    pub(super) fn in_query(
        &mut self,
        subject: Expr,
        query: Query,
        negated: bool,
        within: &Within,
    ) -> Result<Expr, Refusal> {
        if reads_row(&query) {
            return self.in_correlated(subject, query, negated, within);
        }
        let subject = self.reduce(subject, &Within { positive: false, ..within.clone() })?;
        let (checked, guarded) = self.resolve_query(query.clone(), within)?;
        let key = guarded.and_then(|guarded| Some((guarded.guard, key_of(&checked, &guarded)?)));
        let source = self.source(query, key.as_ref(), within)?;
        let found = self.set(subject, source, key)?;
        Ok(if negated { not(found) } else { found })
    }

    /// `subject in (select x from m where m.k = row.c)`: true where there is a row of `m` with both.
    fn in_correlated(
        &mut self,
        subject: Expr,
        mut query: Query,
        negated: bool,
        within: &Within,
    ) -> Result<Expr, Refusal> {
        let shown = query.to_string();
        if negated || !within.positive {
            let reason = "reads the row where NULL among its values would count: write it with `exists`";
            return Err(Refusal::part(&shown, reason));
        }
        let other = || Refusal::part(&shown, "is not a plain `select` of one column");
        let select = select_of(&mut query).ok_or_else(other)?;
        let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] =
            select.projection.as_slice()
        else {
            return Err(other());
        };
        let equal = Expr::BinaryOp {
            left: Box::new(item.clone()),
            op: BinaryOperator::Eq,
            right: Box::new(Expr::Nested(Box::new(subject))),
        };
        let parts = select.selection.take().map(conjuncts).unwrap_or_default();
        select.selection = all(parts.into_iter().chain([equal]).collect());
        select.projection = vec![SelectItem::UnnamedExpr(value(Value::Number("1".into(), false)))];
        self.exists(query, within)
    }

    /// `exists (select … from m where m.k = row.c and …)`: true or false, never unknown.
    pub(super) fn exists(&mut self, mut query: Query, within: &Within) -> Result<Expr, Refusal> {
        let shown = query.to_string();
        let refuse = |reason: &str| Err(Refusal::part(&shown, reason));
        let source = sources(&query)?.into_iter().next();
        let Some(From::Relation(schema, name)) = source.as_ref().map(|source| source.from.clone()) else {
            return refuse("is not over a table");
        };
        let alias = source.expect("it was just there").alias;
        let table = self.scene.table(schema.as_deref(), &name, &within.schemas)?;
        let plain = query.limit_clause.is_none()
            && plain_select(&query).is_some_and(|select| select.projection.iter().all(is_plain_item));
        if !plain {
            return refuse("selects more than constants or columns, or has a limit");
        }
        let select = select_of(&mut query).expect("sources found one");
        let parts = select.selection.take().map(conjuncts).unwrap_or_default();
        let (of_row, rest): (Vec<Expr>, Vec<Expr>) = parts.into_iter().partition(reads_row);
        let [Expr::BinaryOp { left, op: BinaryOperator::Eq, right }] = of_row.as_slice() else {
            return refuse("meets the row in another way than by one `column = column`");
        };
        let (column, subject) = match (column_of(left, &alias, &table), column_of(right, &alias, &table)) {
            (Some(column), None) => (column, (**right).clone()),
            (None, Some(column)) => (column, (**left).clone()),
            _ => return refuse("meets the row in another way than by one `column = column`"),
        };
        let subject = self.reduce(subject, &Within { positive: false, ..within.clone() })?;
        let name = table.columns[column].name.to_string();
        select.projection =
            vec![SelectItem::UnnamedExpr(Expr::CompoundIdentifier(vec![quoted(&alias), quoted(&name)]))];
        select.selection = all(rest);
        let guarded = self.check_query(&mut query.clone(), within)?;
        let key = guarded.map(|guarded| (guarded.guard, name));
        let source = self.source(query, key.as_ref(), within)?;
        let found = Expr::Nested(Box::new(self.set(subject, source, key)?));
        Ok(Expr::IsTrue(Box::new(found)))
    }

    /// A call with something of the row among its arguments: its body in its place.
    pub(super) fn inline(&mut self, mut call: Call, within: &Within) -> Result<Expr, Refusal> {
        let shown = call.to_string();
        let given: Vec<Expr> = arguments(&mut call)?.into_iter().map(|it| it.clone()).collect();
        let library = self.library;
        let found = library.find(&call, given.len(), &within.schemas);
        let builtin = library.is_builtin(&call, &within.schemas);
        let Callable::Sql(function, body) = (if builtin { Ok(Callable::Plain) } else { found })? else {
            return Err(Refusal::part(
                &shown,
                "computes something of the row that the filter language has no word for",
            ));
        };
        if function.strict && !within.positive {
            return Err(Refusal::part(&shown, "is strict, and stands where NULL would count"));
        }
        let apart = Within { positive: false, ..within.clone() };
        let given: Vec<Expr> =
            given.into_iter().map(|it| self.reduce(it, &apart)).collect::<Result<_, _>>()?;
        // Of a strict function NULL comes to NULL, and that to false where it stands.
        let called = if function.strict { given.iter().map(is_not_null).collect() } else { Vec::new() };
        let found = match self.body_of(function, body, given, within)? {
            (Body::Expression(expr), inner) => {
                let expr = self.given_by(function, *expr, &inner)?;
                self.reduce(expr, &inner)?
            }
            (Body::Query(query), inner) if inner.positive && selects_true(&query) => {
                self.exists(*query, &inner)?
            }
            (Body::Query(_), _) => {
                return Err(Refusal::part(
                    &shown,
                    "gives what a query gives: write it as `select exists (…)`",
                ));
            }
        };
        let whole = all(called.into_iter().chain([found]).collect()).expect("one at least");
        Ok(Expr::Nested(Box::new(whole)))
    }

    /// Checks the query of a set; of a call that gives a set, the one that the function is.
    fn resolve_query(
        &mut self,
        mut query: Query,
        within: &Within,
    ) -> Result<(Query, Option<Guarded>), Refusal> {
        if let Some(Expr::Function(call)) = super::expression::scalar(&query) {
            let mut call = call.clone();
            let given: Vec<Expr> = arguments(&mut call)?.into_iter().map(|it| it.clone()).collect();
            let library = self.library;
            if let Callable::Sql(function, body) = library.find(&call, given.len(), &within.schemas)?
                && function.returns_set
            {
                if function.strict && within.definer.is_some() {
                    let reason = "is strict, and is looked into in a `security definer` function";
                    return Err(Refusal::part(&function.name, reason));
                }
                given.iter().try_for_each(|it| self.check(&mut it.clone(), within))?;
                let given = given.into_iter().map(|it| self.settled(it, within)).collect();
                if let (Body::Query(mut body), inner) = self.body_of(function, body, given, within)? {
                    let guarded = self.check_query(&mut body, &inner)?;
                    // What it gives is brought to its type, which the column then has to be of.
                    let of_type = |guarded: &Guarded| {
                        let column = guarded.table.column(&key_of(&body, guarded)?)?;
                        let column = &guarded.table.columns[column];
                        [column.type_oid, column.kind.oid].contains(&function.result.oid).then_some(())
                    };
                    let guarded = guarded.filter(|guarded| of_type(guarded).is_some());
                    return Ok((*body, guarded));
                }
            }
        }
        let guarded = self.check_query(&mut query, within)?;
        Ok((query, guarded))
    }

    /// How the values are asked for.
    fn source(
        &self,
        mut query: Query,
        key: Option<&(usize, String)>,
        within: &Within,
    ) -> Result<Source, Refusal> {
        if within.definer.is_none() {
            self.spell_out(&mut query, within)?;
            return Ok(Source::Identity(Box::new(query)));
        }
        match key {
            Some((guard, _)) if self.plan.guards[*guard].exact => Ok(Source::Definer),
            _ => {
                let reason = "is read as the owner of a `security definer` function, by more than a filter";
                Err(Refusal::part(&query.to_string(), reason))
            }
        }
    }

    fn set(&mut self, subject: Expr, source: Source, key: Option<(usize, String)>) -> Result<Expr, Refusal> {
        let Some(sought) = self.sought(&subject) else {
            let reason =
                "is looked for among the values of a sub-select, and is neither a column nor its text";
            return Err(Refusal::part(&subject.to_string(), reason));
        };
        let column = as_row_column(&subject).map(str::to_owned);
        let policy = String::new();
        self.plan.sets.push(Set { policy, source, column, sought, key });
        Ok(any(subject, Expr::Identifier(quoted(&set_name(self.plan.sets.len() - 1)))))
    }

    /// The type of a column of the row, or of its text.
    fn sought(&self, subject: &Expr) -> Option<u32> {
        const TEXT: u32 = 25;
        match subject {
            Expr::Nested(inner) => self.sought(inner),
            Expr::Cast { expr, data_type: DataType::Text, .. } => as_row_column(expr).map(|_| TEXT),
            other => {
                let name = as_row_column(other)?;
                self.row.iter().find(|(column, _)| **column == *name).map(|(_, [_, base])| *base)
            }
        }
    }
}

/// The query of `(array(select …))`, however often in parentheses.
pub(super) fn array_query(expr: &Expr) -> Option<Query> {
    match expr {
        Expr::Nested(inner) => array_query(inner),
        Expr::Subquery(query) if super::expression::scalar(query).is_some() => {
            array_query(super::expression::scalar(query)?)
        }
        Expr::Function(Call { name, args: FunctionArguments::Subquery(query), .. })
            if *name == ObjectName::from(vec![Ident::new("ARRAY")]) || is_array(name) =>
        {
            Some((**query).clone())
        }
        _ => None,
    }
}

fn is_array(name: &ObjectName) -> bool {
    name.to_string().eq_ignore_ascii_case("array")
}

fn is_not_null(expr: &Expr) -> Expr {
    Expr::IsNotNull(Box::new(Expr::Nested(Box::new(expr.clone()))))
}

/// The column of the guarded table that a query gives, where that is all.
fn key_of(query: &Query, guarded: &Guarded) -> Option<String> {
    let select = plain_select(query).filter(|_| query.limit_clause.is_none())?;
    let [SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }] =
        select.projection.as_slice()
    else {
        return None;
    };
    let column = column_of(item, &guarded.alias, &guarded.table)?;
    Some(guarded.table.columns[column].name.to_string())
}

fn is_plain_item(item: &SelectItem) -> bool {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
            is_literal(expr) || matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
        }
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => true,
        SelectItem::ExprWithAliases { .. } => false,
    }
}

/// Whether a query gives `true`, or nothing.
fn selects_true(query: &Query) -> bool {
    let Some(select) = plain_select(query) else { return false };
    matches!(
        select.projection.as_slice(),
        [SelectItem::UnnamedExpr(Expr::Value(value)) | SelectItem::ExprWithAlias { expr: Expr::Value(value), .. }]
            if value.value == Value::Boolean(true)
    )
}
