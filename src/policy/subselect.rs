//! Sub-selects over one table.

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Query, Select, SelectItem, SetExpr, TableFactor, TableWithJoins,
};

use super::Refusal;
use super::ident::fold;

/// Where a sub-select's rows come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// What its columns may be qualified by.
    pub(super) alias: String,
    pub(super) from: From,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// A relation: its schema, if one is written, and its name.
    Relation(Option<String>, String),
    /// A function that gives rows.
    Call(Box<Expr>),
}

/// The `select` that a query is, if there is nothing else to it but a limit.
pub(super) fn plain_select(query: &Query) -> Option<&Select> {
    let plain = query.with.is_none()
        && query.order_by.is_none()
        && query.fetch.is_none()
        && query.locks.is_empty()
        && query.for_clause.is_none();
    let SetExpr::Select(select) = &*query.body else { return None };
    let no_groups = match &select.group_by {
        GroupByExpr::Expressions(by, modifiers) => by.is_empty() && modifiers.is_empty(),
        GroupByExpr::All(_) => false,
    };
    let plain = plain
        && no_groups
        && matches!(&select.distinct, None | Some(Distinct::Distinct | Distinct::All))
        && select.having.is_none()
        && select.into.is_none()
        && select.named_window.is_empty()
        && select.qualify.is_none();
    plain.then_some(select)
}

/// The expression of an item of a `select` list.
pub(super) fn selected(item: &mut SelectItem) -> Option<&mut Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

/// Where a query's rows come from: nowhere, one relation, or one function.
///
/// # Errors
/// It is more than a plain `select` over one table.
pub(super) fn sources(query: &Query) -> Result<Vec<Source>, Refusal> {
    let refuse = |reason: &str| Refusal::part(&query.to_string(), reason);
    let select =
        plain_select(query).ok_or_else(|| refuse("is more than a plain `select … from … where …`"))?;
    match select.from.as_slice() {
        [] => Ok(Vec::new()),
        [TableWithJoins { relation, joins }]
            if joins.is_empty() && !matches!(relation, TableFactor::NestedJoin { .. }) =>
        {
            source(relation)
                .map(|source| vec![source])
                .ok_or_else(|| refuse("is not over a table or a function"))
        }
        _ => Err(refuse("is over more than one table: a sub-select in a policy may read one")),
    }
}

fn source(factor: &TableFactor) -> Option<Source> {
    match factor {
        TableFactor::Table { name, alias, args: None, with_hints, sample: None, version: None, .. }
            if with_hints.is_empty() =>
        {
            let parts: Vec<String> =
                name.0.iter().map(|part| part.as_ident().map(fold)).collect::<Option<_>>()?;
            let (schema, name) = match parts.as_slice() {
                [name] => (None, name.clone()),
                [schema, name] => (Some(schema.clone()), name.clone()),
                _ => return None,
            };
            let alias = match alias {
                None => name.clone(),
                Some(alias) if alias.columns.is_empty() => fold(&alias.name),
                Some(_) => return None,
            };
            Some(Source { alias, from: From::Relation(schema, name) })
        }
        TableFactor::Table { name, alias, args: Some(args), .. } => {
            let list = sqlparser::ast::FunctionArgumentList {
                duplicate_treatment: None,
                args: args.args.clone(),
                clauses: Vec::new(),
            };
            let call = Expr::Function(sqlparser::ast::Function {
                name: name.clone(),
                uses_odbc_syntax: false,
                parameters: sqlparser::ast::FunctionArguments::None,
                args: sqlparser::ast::FunctionArguments::List(list),
                filter: None,
                null_treatment: None,
                over: None,
                within_group: Vec::new(),
            });
            let own = name.0.last().and_then(|part| part.as_ident()).map(fold)?;
            let alias = alias.as_ref().map_or(own, |alias| fold(&alias.name));
            Some(Source { alias, from: From::Call(Box::new(call)) })
        }
        _ => None,
    }
}
