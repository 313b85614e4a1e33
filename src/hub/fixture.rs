//! Small tables and rows for the room's own tests.

use std::sync::Arc;

use crate::event::{
    Class, Collation, Column, Datum, Kind, Relation, RelationColumn, ReplicaIdentity, Row, Table, TableName,
};

/// `public.t (id int8 primary key, name text, body text)`, replica identity full.
pub(super) fn table() -> Table {
    let column = |name: &str, oid, type_name: &str, class| Column {
        name: name.into(),
        kind: Kind { oid, name: type_name.into(), class },
        type_oid: oid,
        nullable: name != "id",
        collation: if oid == 25 { Collation::Deterministic } else { Collation::None },
    };
    Table {
        oid: 16_400,
        name: TableName::new("public", "t"),
        columns: vec![
            column("id", 20, "int8", Class::Int8),
            column("name", 25, "text", Class::Text),
            column("body", 25, "text", Class::Text),
        ],
        key: vec![0],
        identity: ReplicaIdentity::Full,
        row_filter: None,
        storage: 1,
        membership: 1,
    }
}

pub(super) fn relation(table: &Table) -> Arc<Relation> {
    let column = |column: &Column| RelationColumn {
        name: column.name.clone(),
        key: true,
        type_oid: column.type_oid,
        type_modifier: -1,
    };
    Arc::new(Relation {
        oid: table.oid,
        schema: table.name.schema.clone(),
        name: table.name.name.clone(),
        identity: table.identity,
        columns: table.columns.iter().map(column).collect(),
    })
}

/// Words are values, `-` is NULL, `=` a large value that did not change.
pub(super) fn row(text: &str) -> Row {
    let datum = |word| match word {
        "-" => Datum::Null,
        "=" => Datum::Unchanged,
        word => Datum::Text(str::as_bytes(word)),
    };
    text.split_whitespace().map(datum).collect()
}
