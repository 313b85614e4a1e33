//! A table with a column of every supported type.

use std::sync::Arc;

use super::pools::{
    BPCHAR, BYTEA, DATE, FLOAT4, FLOAT8, INT2, INT4, INT8, INTERVAL, JSONB, MOOD, NUMERIC, TEXT, TIME,
    TIMESTAMP, TIMESTAMPTZ, UUID,
};
use tidegate::event::{Class, Collation, Column, Kind, ReplicaIdentity, Table, TableName};

pub(super) struct Spec {
    pub(super) name: &'static str,
    /// As in `create table`.
    pub(super) declaration: &'static str,
    /// `pg_type.typname` of the type, or of a domain's base type; of an array its element's.
    pub(super) type_name: &'static str,
    pub(super) collation: Collation,
    pub(super) array: bool,
    pub(super) ordered: bool,
    /// Texts that PostgreSQL reads as the type; for an array, as its elements.
    pub(super) pool: &'static [&'static str],
}

const fn scalar(
    name: &'static str,
    declaration: &'static str,
    type_name: &'static str,
    pool: &'static [&'static str],
) -> Spec {
    Spec { name, declaration, type_name, collation: Collation::None, array: false, ordered: true, pool }
}

const fn unordered(
    name: &'static str,
    declaration: &'static str,
    type_name: &'static str,
    pool: &'static [&'static str],
) -> Spec {
    Spec { name, declaration, type_name, collation: Collation::None, array: false, ordered: false, pool }
}

const fn text(
    name: &'static str,
    declaration: &'static str,
    type_name: &'static str,
    collation: Collation,
    pool: &'static [&'static str],
) -> Spec {
    Spec {
        name,
        declaration,
        type_name,
        collation,
        array: false,
        ordered: matches!(collation, Collation::Bytes),
        pool,
    }
}

const fn array(
    name: &'static str,
    declaration: &'static str,
    type_name: &'static str,
    collation: Collation,
    pool: &'static [&'static str],
) -> Spec {
    Spec { name, declaration, type_name, collation, array: true, ordered: false, pool }
}

pub(super) const COLUMNS: &[Spec] = &[
    scalar("c_bool", "boolean", "bool", &["t", "f"]),
    scalar("c_int2", "smallint", "int2", INT2),
    scalar("c_int4", "integer", "int4", INT4),
    scalar("c_int8", "bigint", "int8", INT8),
    scalar("c_float4", "real", "float4", FLOAT4),
    scalar("c_float8", "double precision", "float8", FLOAT8),
    scalar("c_numeric", "numeric", "numeric", NUMERIC),
    scalar("c_numeric_2", "numeric(10, 2)", "numeric", &["0", "1", "1.00", "1.005", "-7.5", "7.50", "NaN"]),
    text("c_text", "text collate \"C\"", "text", Collation::Bytes, TEXT),
    text("c_icu", "text collate @other", "text", Collation::Deterministic, TEXT),
    text("c_varchar", "varchar(20) collate \"POSIX\"", "varchar", Collation::Bytes, TEXT),
    text("c_name", "name", "name", Collation::Bytes, TEXT),
    text("c_bpchar", "char(6) collate \"C\"", "bpchar", Collation::Bytes, BPCHAR),
    text("c_bpchar_icu", "char(6) collate @other", "bpchar", Collation::Deterministic, BPCHAR),
    scalar("c_bytea", "bytea", "bytea", BYTEA),
    scalar("c_uuid", "uuid", "uuid", UUID),
    scalar("c_date", "date", "date", DATE),
    scalar("c_timestamp", "timestamp", "timestamp", TIMESTAMP),
    scalar("c_timestamptz", "timestamptz", "timestamptz", TIMESTAMPTZ),
    scalar("c_time", "time", "time", TIME),
    scalar("c_interval", "interval", "interval", INTERVAL),
    scalar("c_mood", "mood", "mood", MOOD),
    scalar("c_domain", "whole", "int4", INT4),
    text("c_label", "label", "text", Collation::Bytes, TEXT),
    scalar("Größe \"x\"", "integer", "int4", INT4),
    unordered("c_jsonb", "jsonb", "jsonb", JSONB),
    unordered("c_json", "json", "json", &["{}"]),
    unordered("c_oid", "oid", "oid", &["0", "1", "4294967295", "26"]),
    unordered(
        "c_inet",
        "inet",
        "inet",
        &["10.0.0.1", "10.0.0.1/32", "10.0.0.1/8", "::1", "::ffff:10.0.0.1", "2001:DB8::1"],
    ),
    unordered(
        "c_macaddr",
        "macaddr",
        "macaddr",
        &["08:00:2b:01:02:03", "08-00-2B-01-02-03", "ff:ff:ff:ff:ff:ff"],
    ),
    unordered("c_lsn", "pg_lsn", "pg_lsn", &["0/0", "16/B374D848", "16/b374d848", "FFFFFFFF/FFFFFFFF"]),
    unordered("c_timetz", "timetz", "timetz", &["10:00:00+00", "12:00:00+02", "10:00:00Z", "24:00:00+00"]),
    unordered("c_varbit", "varbit", "varbit", &["", "0", "1", "01", "0100"]),
    unordered("c_int4range", "int4range", "int4range", &["[1,3]", "[1,4)", "empty", "(,5]", "(1,1)", "[,]"]),
    unordered(
        "c_tstzrange",
        "tstzrange",
        "tstzrange",
        &["[2026-01-01,2027-01-01)", "(2026-01-01,2027-01-01)", "[,infinity]", "empty"],
    ),
    unordered(
        "c_daterange",
        "daterange",
        "daterange",
        &["[2026-01-01,2026-01-02]", "[2026-01-01,2026-01-03)", "empty"],
    ),
    array("a_int4", "integer[]", "int4", Collation::None, INT4),
    array("a_int8", "bigint[]", "int8", Collation::None, INT8),
    array("a_text", "text[] collate \"C\"", "text", Collation::Bytes, TEXT),
    array("a_icu", "text[] collate @other", "text", Collation::Deterministic, TEXT),
    array("a_varchar", "varchar[] collate \"C\"", "varchar", Collation::Bytes, TEXT),
    array("a_bpchar", "char(6)[] collate \"C\"", "bpchar", Collation::Bytes, BPCHAR),
    array("a_float4", "real[]", "float4", Collation::None, FLOAT4),
    array("a_float8", "double precision[]", "float8", Collation::None, FLOAT8),
    array("a_numeric", "numeric[]", "numeric", Collation::None, NUMERIC),
    array("a_bool", "boolean[]", "bool", Collation::None, &["t", "f"]),
    array("a_uuid", "uuid[]", "uuid", Collation::None, UUID),
    array("a_bytea", "bytea[]", "bytea", Collation::None, BYTEA),
    array("a_timestamptz", "timestamptz[]", "timestamptz", Collation::None, TIMESTAMPTZ),
    array("a_interval", "interval[]", "interval", Collation::None, INTERVAL),
    array("a_mood", "mood[]", "mood", Collation::None, MOOD),
];

/// Makes the table; `other` is a deterministic collation that is not `C`.
pub(super) fn create(other: &str) -> String {
    let columns: Vec<String> = COLUMNS
        .iter()
        .map(|spec| format!("\"{}\" {}", spec.name.replace('"', "\"\""), spec.declaration))
        .collect();
    format!(
        "create type mood as enum ('sad', 'ok', 'happy', 'über', 'a b'); \
         create domain whole as integer; create domain label as text collate \"C\"; \
         create table t (id bigint primary key, {})",
        columns.join(", ").replace("@other", &format!("\"{other}\""))
    )
}

/// The table as the catalog would describe it.
pub(super) fn table(mood: u32) -> Table {
    let id = Column {
        name: "id".into(),
        kind: kind("int8", mood),
        type_oid: 20,
        nullable: false,
        collation: Collation::None,
    };
    let columns = COLUMNS.iter().map(|spec| {
        let element = kind(spec.type_name, mood);
        let kind = if spec.array {
            let name: Arc<str> = format!("{}[]", element.name).into();
            Kind { oid: 0, name, class: Class::Array { element: Box::new(element), delimiter: b',' } }
        } else {
            element
        };
        Column { name: spec.name.into(), type_oid: kind.oid, kind, nullable: true, collation: spec.collation }
    });
    Table {
        oid: 1,
        name: TableName::new("public", "t"),
        columns: std::iter::once(id).chain(columns).collect(),
        key: vec![0],
        identity: ReplicaIdentity::Full,
        row_filter: None,
        storage: 0,
        membership: 0,
    }
}

fn kind(name: &str, mood: u32) -> Kind {
    let oid = match name {
        "bool" => 16,
        "bytea" => 17,
        "name" => 19,
        "int8" => 20,
        "int2" => 21,
        "int4" => 23,
        "text" => 25,
        "oid" => 26,
        "json" => 114,
        "float4" => 700,
        "float8" => 701,
        "macaddr" => 829,
        "inet" => 869,
        "bpchar" => 1042,
        "varchar" => 1043,
        "date" => 1082,
        "time" => 1083,
        "timestamp" => 1114,
        "timestamptz" => 1184,
        "interval" => 1186,
        "timetz" => 1266,
        "varbit" => 1562,
        "numeric" => 1700,
        "uuid" => 2950,
        "pg_lsn" => 3220,
        "jsonb" => 3802,
        "int4range" => 3904,
        "tstzrange" => 3910,
        "daterange" => 3912,
        "mood" => mood,
        other => unreachable!("{other} is not among the columns"),
    };
    let class = if name == "mood" {
        Class::Enum(MOOD.iter().map(|label| Arc::from(*label)).collect())
    } else {
        Class::of_builtin(oid).unwrap_or(Class::Other)
    };
    Kind { oid, name: name.into(), class }
}
