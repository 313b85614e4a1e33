use serde_json::{Map, Value};

use crate::event::{Class, Kind, Table};
use crate::filter::{self, Direction, Nulls, OrderTerm};
use crate::postgres::quote;

/// A total order of a table's rows: what the client asked for, with ties broken by the key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Order(Vec<OrderTerm>);

/// A condition in SQL, with its values apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct After {
    pub(super) sql: String,
    pub(super) values: Vec<String>,
}

impl Order {
    /// By the key alone.
    pub(super) fn by_key(table: &Table) -> Self {
        Self(Vec::new()).completed(table)
    }

    /// Reads the text of an `order by`.
    pub(super) fn parse(text: &str, table: &Table) -> Result<Self, filter::Error> {
        Ok(Self(filter::parse_order(text, table)?.terms).completed(table))
    }

    /// What follows `order by`.
    pub(super) fn to_sql(&self) -> String {
        let term = |term: &OrderTerm| {
            let direction = match term.direction {
                Direction::Ascending => "asc",
                Direction::Descending => "desc",
            };
            let nulls = match term.nulls {
                Nulls::First => "first",
                Nulls::Last => "last",
            };
            format!("{} {direction} nulls {nulls}", quote(&term.name))
        };
        self.0.iter().map(term).collect::<Vec<_>>().join(", ")
    }

    /// The condition that holds for the rows behind the one whose values are `after`, with parameters from
    /// `$first` on.
    ///
    /// # Errors
    /// What is wrong with `after`.
    pub(super) fn after(
        &self,
        table: &Table,
        after: &Map<String, Value>,
        first: usize,
    ) -> Result<After, String> {
        if let Some(name) = after.keys().find(|name| self.0.iter().all(|term| *term.name != ***name)) {
            return Err(format!(
                "`after` has `{name}`, which the order does not name; it has {}",
                self.names()
            ));
        }
        let mut values = Vec::new();
        let mut alternatives = Vec::new();
        let mut equal = Vec::new();
        for term in &self.0 {
            let value = after
                .get(&*term.name)
                .ok_or_else(|| format!("`after` lacks `{}`; it has {}", term.name, self.names()))?;
            let (name, kind) = (quote(&term.name), &table.columns[term.column].kind);
            let wrong =
                || format!("the value of `{}` in `after` is not one of its type, {}", term.name, kind.name);
            let text = if value.is_null() { None } else { Some(text_of(value, kind).ok_or_else(wrong)?) };
            let (beyond, same) = match text {
                None => (beyond_null(term, &name), format!("{name} is null")),
                Some(text) => {
                    values.push(text);
                    // Its type is that of the column that it is compared with.
                    let value = format!("${}", first + values.len() - 1);
                    (beyond_value(term, &name, &value), format!("{name} = {value}"))
                }
            };
            let mut alternative = equal.clone();
            alternative.push(beyond);
            alternatives.push(format!("({})", alternative.join(" and ")));
            equal.push(same);
        }
        Ok(After { sql: format!("({})", alternatives.join(" or ")), values })
    }

    fn completed(mut self, table: &Table) -> Self {
        for column in &table.key {
            if self.0.iter().all(|term| term.column != *column) {
                let name = table.columns[*column].name.clone();
                let (direction, nulls) = (Direction::Ascending, Nulls::Last);
                self.0.push(OrderTerm { column: *column, name, direction, nulls });
            }
        }
        self
    }

    fn names(&self) -> String {
        self.0.iter().map(|term| format!("`{}`", term.name)).collect::<Vec<_>>().join(", ")
    }
}

fn beyond_null(term: &OrderTerm, name: &str) -> String {
    match term.nulls {
        Nulls::First => format!("{name} is not null"),
        Nulls::Last => "false".to_owned(),
    }
}

fn beyond_value(term: &OrderTerm, name: &str, value: &str) -> String {
    let comparison = match term.direction {
        Direction::Ascending => format!("{name} > {value}"),
        Direction::Descending => format!("{name} < {value}"),
    };
    match term.nulls {
        Nulls::First => comparison,
        Nulls::Last => format!("({comparison} or {name} is null)"),
    }
}

/// A value as the wire protocol gave it, in PostgreSQL's text form; `None` if it is not of that form.
fn text_of(value: &Value, kind: &Kind) -> Option<String> {
    match (value, &kind.class) {
        (Value::Bool(value), Class::Bool) => Some(value.to_string()),
        (
            Value::Number(number),
            Class::Int2 | Class::Int4 | Class::Int8 | Class::Float4 | Class::Float8 | Class::Numeric,
        ) => Some(number.to_string()),
        (Value::String(text), class) if *class != Class::Bool => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::{Collation, Column, ReplicaIdentity, TableName};

    fn table() -> Table {
        let column = |name: &str, oid, type_name: &str, class| Column {
            name: name.into(),
            kind: Kind { oid, name: type_name.into(), class },
            type_oid: oid,
            nullable: true,
            collation: Collation::None,
        };
        Table {
            oid: 1,
            name: TableName::new("public", "t"),
            columns: vec![
                column("id", 20, "int8", Class::Int8),
                column("at", 1184, "timestamptz", Class::Timestamptz),
            ],
            key: vec![0],
            identity: ReplicaIdentity::Full,
            row_filter: None,
            storage: 0,
            membership: 0,
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "the tests write it in place")]
    fn after(order: &str, after: Value) -> Result<After, String> {
        let table = table();
        let order = Order::parse(order, &table).expect("valid");
        order.after(&table, after.as_object().expect("an object"), 2)
    }

    #[test]
    fn ties_are_broken_by_the_key() {
        let table = table();
        let sql = |text: &str| Order::parse(text, &table).expect("valid").to_sql();
        assert_eq!(sql("at desc"), r#""at" desc nulls first, "id" asc nulls last"#);
        assert_eq!(sql("id desc"), r#""id" desc nulls first"#);
    }

    #[test]
    fn what_lies_behind_a_row_is_what_a_page_reads() {
        let found =
            after("at desc nulls last", json!({"at": "2026-01-01T00:00:00Z", "id": "7"})).expect("complete");
        let expected = r#"((("at" < $2 or "at" is null)) or ("at" = $2 and ("id" > $3 or "id" is null)))"#;
        assert_eq!(found.sql, expected);
        assert_eq!(found.values, ["2026-01-01T00:00:00Z", "7"]);
        let found = after("at desc", json!({"at": null, "id": 7})).expect("complete");
        assert_eq!(found.sql, r#"(("at" is not null) or ("at" is null and ("id" > $2 or "id" is null)))"#);
    }

    #[test]
    fn an_incomplete_row_is_refused() {
        assert!(after("at desc", json!({"id": 7})).is_err_and(|error| error.contains("lacks `at`")));
        assert!(after("id", json!({"id": 7, "x": 1})).is_err_and(|error| error.contains("has `x`")));
        assert!(after("id", json!({"id": [7]})).is_err_and(|error| error.contains("its type, int8")));
    }
}
