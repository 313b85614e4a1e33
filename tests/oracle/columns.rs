//! A table with a column of every supported type, and values that are likely to be told apart wrongly.

use std::sync::Arc;

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

const INT2: &[&str] = &["0", "1", "-1", "7", "8", "32767", "-32768", "100"];
const INT4: &[&str] = &["0", "1", "-1", "7", "8", "42", "2147483647", "-2147483648", "32768"];
const INT8: &[&str] =
    &["0", "1", "-1", "7", "9223372036854775807", "-9223372036854775808", "2147483648", "9007199254740993"];
const FLOAT4: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1.5",
    "0.1",
    "0.2",
    "16777217",
    "3.4028235e38",
    "-3.4e38",
    "1e-45",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e20",
];
const FLOAT8: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1.5",
    "0.1",
    "0.2",
    "9007199254740993",
    "1.7976931348623157e308",
    "5e-324",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e20",
    "0.30000000000000004",
];
const NUMERIC: &[&str] = &[
    "0",
    "0.00",
    "1",
    "1.0",
    "1.00",
    "-1.5",
    "7",
    "7.50",
    "12345678901234567890.123456789",
    "NaN",
    "Infinity",
    "-Infinity",
    "0.000000000000000000001",
    "-0.1",
    "100",
    "1e3",
    "99999999999999999999999999",
];
const TEXT: &[&str] = &[
    "",
    "a",
    "A",
    "b",
    "ab",
    "aB",
    "abc",
    "a b",
    "a  ",
    " a",
    "%",
    "_",
    "a%b",
    "a_b",
    "a\\b",
    "größe",
    "GRÖSSE",
    "Größe",
    "日本語",
    "e\u{301}",
    "é",
    "a'b",
    "\"q\"",
    "null",
    "{}",
    "a,b",
    "x\ny",
    "𝄞",
    "~",
];
const BPCHAR: &[&str] = &["", "a", "a ", "ab", "abc", "größe", " a", "a b", "%", "A", "a\tb"];
const BYTEA: &[&str] = &["\\x", "\\x00", "\\xff", "\\x00ff", "\\xdeadbeef", "abc", "\\xDE"];
const UUID: &[&str] = &[
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A12",
    "7fffffff-0000-0000-0000-000000000001",
    "80000000-0000-0000-0000-000000000001",
    "{a0eebc999c0b4ef8bb6d6bb9bd380a11}",
];
const DATE: &[&str] = &[
    "2026-11-22",
    "2024-02-29",
    "1970-01-01",
    "1969-12-31",
    "0001-01-01",
    "0044-03-15 BC",
    "4714-11-24 BC",
    "12026-01-01",
    "5874897-12-31",
    "infinity",
    "-infinity",
    "epoch",
    "20261122",
    "Nov 22 2026",
];
const TIMESTAMP: &[&str] = &[
    "2026-11-22 10:08:17",
    "2026-11-22 10:08:17.123456",
    "2026-11-22 10:08:17.1",
    "2026-11-22T10:08:17.100",
    "2026-11-22",
    "1970-01-01 00:00:00",
    "1969-12-31 23:59:59.999999",
    "0044-03-15 12:00:00 BC",
    "12026-01-01 00:00:00",
    "infinity",
    "-infinity",
    "294276-12-31 23:59:59.999999",
    "2026-11-22 24:00:00",
    "2026-11-23 00:00:00",
];
const TIMESTAMPTZ: &[&str] = &[
    "2026-11-22 10:08:17+00",
    "2026-11-22 12:08:17+02",
    "2026-11-22T10:08:17Z",
    "2026-11-22 10:08:17.5-03:30",
    "1970-01-01 00:00:00+00",
    "0044-03-15 12:00:00+00 BC",
    "12026-01-01 00:00:00+00",
    "infinity",
    "-infinity",
    "2026-11-22",
    "2026-11-22 10:08:17.000001+00",
    "2026-11-22 10:08:17",
    "2026-11-22 10:08:17 Europe/Berlin",
];
const TIME: &[&str] = &[
    "00:00:00",
    "10:08:17",
    "10:08:17.5",
    "10:08",
    "23:59:59.999999",
    "24:00:00",
    "10:08:17.500000",
    "1:02 PM",
];
const INTERVAL: &[&str] = &[
    "0",
    "1 day",
    "24 hours",
    "1 mon",
    "30 days",
    "1 year",
    "12 mons",
    "360 days",
    "-1 day",
    "-1 mon 30 days",
    "P1Y2M3DT4H5M6.5S",
    "1 year 2 mons -3 days 04:05:06.7",
    "-0.000001 s",
    "178000000 years",
    "-178000000 years",
    "00:00:00.1",
    "2562047788:00:54.775807",
];
const MOOD: &[&str] = &["sad", "ok", "happy", "über", "a b"];
pub(super) const JSONB: &[&str] = &[
    "{}",
    "[]",
    "null",
    "true",
    "1",
    "1.0",
    "\"a\"",
    "{\"a\": 1}",
    "{\"a\": 1.00, \"b\": [1, 2]}",
    "{\"a\": {\"b\": null}}",
    "[1, 2, 3]",
    "[1, [2]]",
    "[{\"a\": 1}]",
    "{\"a\": \"x\", \"b\": true}",
    "[\"a\", \"b\"]",
    "{\"a\": \"\"}",
    "{\"a\": \"q\\\"\\n\\u0001é\\\\\"}",
    "{\"a\": null}",
    "{\"a\": [1, {\"b\": \"x\"}]}",
    "-0.5",
    "12345678901234567890",
    "1e2",
    "[[1, 2], [3]]",
    "[[]]",
    "{\"a\": []}",
    "{\"é\\\"\": 1}",
    "[null]",
    "\"\\u00e9\"",
    "{\"a\": \"1\"}",
    "[1, 1, 1]",
    "{\"a\": \"a b\", \"ab\": 0}",
];

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
    text("c_icu", "text collate \"en-x-icu\"", "text", Collation::Deterministic, TEXT),
    text("c_varchar", "varchar(20) collate \"POSIX\"", "varchar", Collation::Bytes, TEXT),
    text("c_name", "name", "name", Collation::Bytes, TEXT),
    text("c_bpchar", "char(6)", "bpchar", Collation::Bytes, BPCHAR),
    text("c_bpchar_icu", "char(6) collate \"en-x-icu\"", "bpchar", Collation::Deterministic, BPCHAR),
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
    array("a_icu", "text[] collate \"en-x-icu\"", "text", Collation::Deterministic, TEXT),
    array("a_varchar", "varchar[]", "varchar", Collation::Bytes, TEXT),
    array("a_bpchar", "char(6)[]", "bpchar", Collation::Bytes, BPCHAR),
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

pub(super) fn create() -> String {
    let columns: Vec<String> = COLUMNS
        .iter()
        .map(|spec| format!("\"{}\" {}", spec.name.replace('"', "\"\""), spec.declaration))
        .collect();
    format!(
        "create type mood as enum ('sad', 'ok', 'happy', 'über', 'a b'); \
         create domain whole as integer; create domain label as text collate \"C\"; \
         create table t (id bigint primary key, {})",
        columns.join(", ")
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
