use std::sync::{Arc, LazyLock};

use crate::event::{Class, Collation, Column, Datum, Kind, ReplicaIdentity, Table, TableName};
use crate::filter::{self, Filter};
use crate::postgres::Fields;
use crate::workspace::tables::ENTRY;
use crate::workspace::{self, Fault};

/// A condition on an entry, in the language of subscriptions' filters.
pub(in super::super) struct Guard(Filter);

/// Entries as filters know them: what is in a row of [`ENTRY`].
static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let columns = ENTRY.columns.iter().map(|column| {
        let (oid, name) = known(column.form);
        let class: Class = column.form.class().clone();
        let collation = match column.form {
            workspace::Form::Text if column.name == "position" => Collation::Bytes,
            workspace::Form::Text | workspace::Form::Texts => Collation::Deterministic,
            _ => Collation::None,
        };
        Column {
            name: column.name.into(),
            kind: Kind { oid, name: name.into(), class },
            type_oid: oid,
            nullable: column.nullable,
            collation,
        }
    });
    Table {
        oid: 0,
        name: TableName { schema: Arc::from("public"), name: Arc::from("entries") },
        columns: columns.collect(),
        key: vec![0],
        identity: ReplicaIdentity::Full,
        row_filter: None,
        storage: 0,
        membership: 0,
    }
});

/// The types of PostgreSQL behind the forms of an entry's columns.
const fn known(form: workspace::Form) -> (u32, &'static str) {
    match form {
        workspace::Form::Bool => (16, "bool"),
        workspace::Form::Integer => (23, "int4"),
        workspace::Form::Bigint => (20, "int8"),
        workspace::Form::Double => (701, "float8"),
        workspace::Form::Text => (25, "text"),
        workspace::Form::Moment => (1184, "timestamptz"),
        workspace::Form::Json => (3802, "jsonb"),
        workspace::Form::Texts => (1009, "text[]"),
        workspace::Form::Doubles => (1022, "float8[]"),
    }
}

impl Guard {
    /// Reads a condition.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub(in super::super) fn parse(text: &str) -> Result<Self, Fault> {
        let refused = |error: filter::Error| {
            let place = error.position().map(|at| format!(" (at character {at})")).unwrap_or_default();
            Fault::field("guard", format!("{error}{place}"))
        };
        let bound = filter::parse(text, &[]).and_then(|parsed| parsed.bind(&TABLE)).map_err(refused)?;
        if let Some(literal) = bound.unresolved().first() {
            let text = &literal.text;
            return Err(Fault::field(
                "guard",
                format!(
                    "`{text}` means something else every day, or in other words: write it as PostgreSQL does"
                ),
            ));
        }
        bound.resolve(&[]).map(Self).map_err(refused)
    }

    /// Whether it is true of an entry.
    pub(in super::super) fn holds(&self, entry: &Fields) -> bool {
        let row: Vec<Datum<'_>> = (0..ENTRY.columns.len())
            .map(|place| entry.text(place).map_or(Datum::Null, |text| Datum::Text(text.as_bytes())))
            .collect();
        self.0.matches(&row).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_is_a_filter_on_entries_and_what_is_none_is_refused_with_its_place() {
        for text in [
            "assignee_id is not null",
            "priority >= 1 and 'bug' = any (labels)",
            "due_at is null or category_id = 7",
        ] {
            assert!(Guard::parse(text).is_ok(), "{text}");
        }
        for (text, says) in
            [("stauts = 1", "stauts"), ("priority >", "character"), ("due_at < 'now'", "every day")]
        {
            let fault = Guard::parse(text).map(|_| ()).expect_err(text);
            assert!(fault.detail.contains(says), "{text}: {}", fault.detail);
        }
    }
}
