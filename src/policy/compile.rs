//! From a plan to what one identity sees: PostgreSQL's answers in their places.

use std::ops::ControlFlow;

use sqlparser::ast::{DataType, Expr, Ident, ObjectName, Value, visit_expressions_mut};

use super::expression::value;
use super::ident::quoted;
use super::plan::{Plan, Set, Source, fold_name, set_name};
use super::rows::as_row_column;
use super::visibility::Guard;
use super::{Error, Refusal, SET_VALUES};
use crate::event::{Table, TableName};
use crate::filter::{self, Filter, Param};
use crate::postgres::policy::{Question, Types};
use crate::postgres::{Pool, literals, quote_literal};

/// PostgreSQL's answers to a plan's questions, for one identity.
pub(super) struct Answers<'a> {
    pub(super) plan: &'a Plan,
    /// Of the folds, then of the sets that are asked as the identity.
    pub(super) types: &'a [Types],
    /// Of the same, then whether each of the privileges is held.
    pub(super) values: Vec<Option<String>>,
}

/// What a subscription's own filter holds the column of each set to, as texts; `None` where it says nothing of the kind.
pub(super) type Narrowed<'a> = [Option<Vec<&'a str>>];

/// What is asked as the identity: folds, sets, privileges.
pub(super) fn question(plan: &Plan, narrowed: &Narrowed<'_>) -> Question {
    let folds = plan.asked();
    let sets = plan.sets.iter().zip(narrowed).filter_map(|(set, to)| match &set.source {
        Source::Identity(query) => Some(values_of(&query.to_string(), to.as_deref())),
        Source::Definer => None,
    });
    Question { columns: folds.chain(sets).chain(plan.privileges.keys().cloned()).collect() }
}

/// What has types that count: folds, then sets that are asked as the identity.
pub(super) fn typed(plan: &Plan) -> Question {
    let folds = plan.asked();
    let sets = plan.sets.iter().filter_map(|set| match &set.source {
        Source::Identity(query) => Some(format!("(select q.v from ({query}) q(v) limit 1)")),
        Source::Definer => None,
    });
    Question { columns: folds.chain(sets).collect() }
}

/// Whether the values of each set are of the type of what is looked for among them: then equal texts are equal values.
///
/// # Errors
/// PostgreSQL would compare them by an operator of both types.
pub(super) fn check_types(plan: &Plan, types: &[Types], table: &TableName) -> Result<(), Refusal> {
    let mut given = types[plan.folds.len()..].iter();
    for set in &plan.sets {
        let (shown, oid) = match (&set.source, &set.key) {
            (Source::Identity(query), _) => (query.to_string(), given.next().map(|it| it.oid)),
            (Source::Definer, Some((guard, key))) => {
                let table = &plan.guards[*guard].table;
                (key.clone(), table.column(key).map(|column| table.columns[column].kind.oid))
            }
            (Source::Definer, None) => (String::new(), None),
        };
        let alike = |oid: u32| {
            let integers = bounds(oid).is_some() && bounds(set.sought).is_some();
            oid == set.sought || integers || TEXTS.contains(&oid) && TEXTS.contains(&set.sought)
        };
        if !oid.is_some_and(alike) {
            let reason =
                "gives values of another type than what is looked for among them: cast one of the two";
            return Err(Refusal::part(&shown, reason).of(&set.policy, table));
        }
    }
    Ok(())
}

/// `text` and `varchar`.
const TEXTS: [u32; 2] = [25, 1043];

/// The bounds of an integer's type, by `pg_type.oid`.
const fn bounds(oid: u32) -> Option<(i64, i64)> {
    match oid {
        21 => Some((i16::MIN as i64, i16::MAX as i64)),
        23 => Some((i32::MIN as i64, i32::MAX as i64)),
        20 => Some((i64::MIN, i64::MAX)),
        _ => None,
    }
}

/// Of a set of integers only those that a value of the type looked for can be.
///
/// # Errors
/// There are others and none of these: NULL is unknown among some, and not among none.
pub(super) fn fitting(values: Vec<Param>, set: &Set, table: &TableName) -> Result<Vec<Param>, Error> {
    let Some((least, most)) = bounds(set.sought) else { return Ok(values) };
    let given = values.len();
    let fits = |param: &Param| match param {
        Param::Text(text) => text.parse::<i64>().is_ok_and(|number| (least..=most).contains(&number)),
        _ => true,
    };
    let fitting: Vec<Param> = values.into_iter().filter(fits).collect();
    if fitting.is_empty() && given > 0 {
        let reason = "has no value among those of its sub-select that it could hold";
        let part = set.column.as_deref().unwrap_or_default();
        return Err(Error::Unsupported(Refusal::part(part, reason).of(&set.policy, table)));
    }
    Ok(fitting)
}

/// The values that a query gives, each once, as a JSON array of texts; one more than there may be tells of too many.
/// NULL, and of the others those in `only`.
fn values_of(query: &str, only: Option<&[&str]>) -> String {
    let most = SET_VALUES + 1;
    let only = only.map_or_else(String::new, |only| {
        let texts: Vec<String> = only.iter().map(|text| quote_literal(text)).collect();
        format!("where q.v is null or q.v::text = any (array[{}]::text[]) ", texts.join(", "))
    });
    format!(
        "(select coalesce(jsonb_agg(v.v order by v.v), '[]') from (select distinct q.v::text as v from ({query}) q(v) \
         {only}limit {most}) v)"
    )
}

impl Answers<'_> {
    fn fold(&self, index: usize) -> (Option<&str>, Option<&str>) {
        (self.values[index].as_deref(), self.types[index].builtin.as_deref())
    }

    /// The guards, each with what it watches.
    pub(super) async fn guards(
        &self,
        pool: &Pool,
        narrowed: &Narrowed<'_>,
    ) -> Result<Vec<(Guard, bool)>, Error> {
        let mut guards = Vec::with_capacity(self.plan.guards.len());
        for (index, guard) in self.plan.guards.iter().enumerate() {
            let (mut filter, mut exact): (Option<Filter>, bool) = (None, guard.exact);
            let narrowing =
                self.plan.sets.iter().zip(narrowed).filter_map(|(set, values)| match (&set.key, values) {
                    (Some((of, column)), Some(values)) if *of == index => {
                        let among = Expr::Identifier(quoted(&set_name(0)));
                        let values = values.iter().map(|value| Param::Text((*value).to_owned())).collect();
                        Some((super::plan::any(Expr::Identifier(quoted(column)), among), values))
                    }
                    _ => None,
                });
            let conjuncts = guard.conjuncts.iter().map(|conjunct| (conjunct.clone(), Vec::new()));
            for (conjunct, values) in conjuncts.chain(narrowing) {
                match self.bind(pool, conjunct, &[values], &guard.table).await {
                    Ok(part) => filter = Some(filter.map_or(part.clone(), |filter| filter.and(&part))),
                    // Watched a little more widely than need be.
                    Err(Error::Unsupported(_)) => exact = false,
                    Err(error) => return Err(error),
                }
            }
            let columns = guard.columns.clone();
            let read = filter.iter().flat_map(Filter::columns).chain(&columns);
            for column in read {
                carried(&guard.table, *column)?;
            }
            guards.push((Guard::new(guard.table.clone(), filter, columns), exact));
        }
        Ok(guards)
    }

    /// What is judged on rows of `table`, with `sets` in their places.
    pub(super) async fn policy(
        &self,
        pool: &Pool,
        table: &Table,
        sets: &[Vec<Param>],
    ) -> Result<Option<Filter>, Error> {
        let Some(judged) = &self.plan.judged else { return Ok(None) };
        let (mut permissive, mut restrictive) = (Vec::new(), Vec::new());
        let all = judged.permissive.iter().map(|part| (part, true));
        for ((name, part), permits) in all.chain(judged.restrictive.iter().map(|part| (part, false))) {
            let filter = self.one(pool, part, sets, table).await.map_err(|error| match error {
                Error::Unsupported(refusal) => Error::Unsupported(refusal.of(name, &table.name)),
                error => error,
            })?;
            if permits { permissive.push(filter) } else { restrictive.push(filter) }
        }
        let filter = Filter::any(&permissive);
        let filter = restrictive.iter().fold(filter, |filter, restriction| filter.and(restriction));
        Ok(Some(filter).filter(|filter| !filter.is_always_true()))
    }

    async fn one(
        &self,
        pool: &Pool,
        part: &Expr,
        sets: &[Vec<Param>],
        table: &Table,
    ) -> Result<Filter, Error> {
        let filter = self.bind(pool, part.clone(), sets, table).await?;
        filter.columns().iter().try_for_each(|column| carried(table, *column))?;
        Ok(filter)
    }

    async fn bind(
        &self,
        pool: &Pool,
        mut expr: Expr,
        sets: &[Vec<Param>],
        table: &Table,
    ) -> Result<Filter, Error> {
        let mut params = Vec::new();
        let _: ControlFlow<()> = visit_expressions_mut(&mut expr, |expr| {
            if let Some(column) = as_row_column(expr) {
                *expr = Expr::Identifier(quoted(column));
            } else if let Expr::Identifier(ident) = expr
                && let Some(placed) = self.placed(&ident.value, sets, &mut params)
            {
                *expr = placed;
            }
            ControlFlow::Continue(())
        });
        let text = expr.to_string();
        let refuse = |error: &filter::Error| Error::Unsupported(Refusal::part(&text, &error.to_string()));
        let bound = filter::parse_policy(&text, &params).and_then(|parsed| parsed.bind(table));
        let bound = bound.map_err(|error| refuse(&error))?;
        let unresolved = bound.unresolved();
        if unresolved.is_empty() {
            return bound.resolve(&[]).map_err(|error| refuse(&error));
        }
        let asked: Vec<_> =
            unresolved.iter().map(|literal| (literal.text.as_str(), literal.kind.oid)).collect();
        let session = pool.get().await?;
        let canonical = literals::canonical(&session, &asked).await?;
        let canonical: Result<Vec<String>, String> = canonical.into_iter().collect();
        let canonical = canonical.map_err(|message| Error::Raised { message, forbidden: false })?;
        bound.resolve(&canonical).map_err(|error| refuse(&error))
    }

    /// What stands for a fold or a set: a parameter, never text.
    fn placed(&self, name: &str, sets: &[Vec<Param>], params: &mut Vec<Param>) -> Option<Expr> {
        let number = |kind: &str| name.strip_prefix(kind)?.strip_suffix('»')?.parse::<usize>().ok();
        let mut param = |param| {
            params.push(param);
            value(Value::Placeholder(format!("${}", params.len())))
        };
        if let Some(index) = number("«set ").filter(|index| *name == set_name(*index)) {
            return Some(param(Param::Array(sets.get(index)?.clone())));
        }
        let index = number("«fold ").filter(|index| *name == fold_name(*index))?;
        let (text, builtin) = self.fold(index);
        let inner = match (text, builtin) {
            (None, _) => value(Value::Null),
            (Some("t"), Some("bool")) => return Some(value(Value::Boolean(true))),
            (Some("f"), Some("bool")) => return Some(value(Value::Boolean(false))),
            (Some(text), _) => param(Param::Text(text.to_owned())),
        };
        Some(match builtin {
            Some("unknown") | None => inner,
            Some(name) => Expr::Nested(Box::new(Expr::Cast {
                kind: sqlparser::ast::CastKind::DoubleColon,
                expr: Box::new(inner),
                data_type: named(name),
                format: None,
            })),
        })
    }

    /// Whether the identity may do what is done for it here.
    ///
    /// # Errors
    /// As PostgreSQL would say it.
    pub(super) fn allowed(&self) -> Result<(), Error> {
        let held = self.of_sets().skip(self.plan.sets.iter().filter(|set| set.is_asked()).count());
        match held.zip(self.plan.privileges.values()).find(|(held, _)| held.as_deref() != Some("t")) {
            None => Ok(()),
            Some((_, message)) => Err(Error::Raised { message: message.clone(), forbidden: true }),
        }
    }

    /// The answers behind those to folds.
    fn of_sets(&self) -> std::slice::Iter<'_, Option<String>> {
        self.values[self.plan.folds.len()..].iter()
    }

    /// The values of each set, as far as they were asked for.
    pub(super) fn sets(&self) -> Result<Vec<Option<Vec<Param>>>, Error> {
        let mut answers = self.of_sets();
        self.plan
            .sets
            .iter()
            .map(|set| match &set.source {
                Source::Identity(query) => {
                    let answer = answers.next().and_then(Option::as_deref).unwrap_or("[]");
                    params(answer, &query.to_string()).map(Some)
                }
                Source::Definer => Ok(None),
            })
            .collect()
    }
}

/// The question for a set that is read as the owner of a function: by the server's own role, and nothing but a filter of
/// ours.
pub(super) fn definer_question(guard: &Guard, key: &str) -> String {
    let condition = guard.filter().map(|filter| with_literals(&filter.to_sql()));
    let table = crate::postgres::quote_table(&guard.table().name);
    let key = crate::postgres::quote(key);
    let query = match condition {
        Some(condition) => format!("select {key} from {table} where {condition}"),
        None => format!("select {key} from {table}"),
    };
    values_of(&query, None)
}

/// A condition with its values written into it, each as a literal.
///
/// One pass, past quoted names: a value that looks like a parameter stays a value.
fn with_literals(sql: &filter::Sql) -> String {
    let mut text = String::with_capacity(sql.text.len());
    let mut quoted = false;
    let mut rest = sql.text.as_str();
    while let Some(at) = rest.find(['"', '$']) {
        text.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        if rest.as_bytes()[at] == b'"' {
            quoted = !quoted;
            text.push('"');
            rest = tail;
            continue;
        }
        let digits = tail.bytes().take_while(u8::is_ascii_digit).count();
        let param =
            tail[..digits].parse::<usize>().ok().and_then(|number| sql.params.get(number.checked_sub(1)?));
        match param.filter(|_| !quoted) {
            Some(param) => text.push_str(&quote_literal(param)),
            None => text.push_str(&rest[at..=at + digits]),
        }
        rest = &tail[digits..];
    }
    text.push_str(rest);
    text
}

/// The values of a set from PostgreSQL's answer.
pub(super) fn params(answer: &str, query: &str) -> Result<Vec<Param>, Error> {
    let values: Vec<Option<String>> =
        serde_json::from_str(answer).expect("jsonb_agg over texts gives an array of texts");
    if values.len() > SET_VALUES {
        let reason = format!("gives more than {SET_VALUES} values");
        return Err(Error::Unsupported(Refusal::part(query, &reason)));
    }
    Ok(values.into_iter().map(|value| value.map_or(Param::Null, Param::Text)).collect())
}

/// Of a set, only what a subscription's own filter lets through can matter to it.
pub(super) fn narrow(values: Vec<Param>, to: &[&str]) -> Vec<Param> {
    let kept = |param: &Param| match param {
        Param::Text(text) => to.contains(&text.as_str()),
        _ => true,
    };
    values.into_iter().filter(kept).collect()
}

fn named(name: &str) -> DataType {
    let scalar =
        |name: &str| DataType::Custom(ObjectName::from(vec![Ident::with_quote('"', name)]), Vec::new());
    match name.strip_suffix("[]") {
        Some(element) => {
            DataType::Array(sqlparser::ast::ArrayElemTypeDef::SquareBracket(Box::new(scalar(element)), None))
        }
        None => scalar(name),
    }
}

/// Both images of a row are judged: the old one must carry what is read.
fn carried(table: &Table, column: usize) -> Result<(), Error> {
    if table.old_image_has(column) {
        return Ok(());
    }
    let reason = format!(
        "is read by a policy, and the old images of {}'s rows do not carry it: the table's replica identity must be full",
        table.name
    );
    let sql = format!("alter table {} replica identity full;", crate::postgres::quote_table(&table.name));
    Err(Error::Unsupported(Refusal::part(&table.columns[column].name, &reason).mended_by(Some(sql))))
}
